package backfill_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
)

func TestConfigNamesEveryWrongFieldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := backfill.New(backfill.Config{
		Database: "a-b", APIURL: "ftp://x", ChunkRows: -1, ChunkBytes: -1, PullTimeout: -1, SettleFor: -1, RetryMin: time.Minute,
		RetryMax: time.Second, RetryFor: -1,
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, field := range []string{"ClickHouse:", "Database:", "APIURL:", "APIKey:", "ChunkRows:", "ChunkBytes:", "PullTimeout:", "SettleFor:", "RetryMin:", "RetryFor:"} {
		if !strings.Contains(err.Error(), "backfill: "+field) {
			t.Errorf("%s is not named in:\n%v", field, err)
		}
	}
}

func TestTheKeyGoesNowhereInTheClear(t *testing.T) {
	t.Parallel()
	d := open(t)
	for url, want := range map[string]string{
		"":                                "",
		"https://api.leadron.io/v1":       "",
		"http://localhost:8000/v1":        "", // Leadron's own development address
		"http://127.0.0.1:8000":           "",
		"http://[::1]:8000":               "",
		"http://api.leadron.io":           "in the clear",
		"http://localhost.evil.example":   "in the clear",
		"https://user:secret@leadron.io/": "scheme, host and path alone",
		"https://leadron.io/?key=secret":  "scheme, host and path alone",
		"api.leadron.io":                  "names no host",
		"https://":                        "names no host",
		"https://secret host/":            "not an address",
		"file://host/etc/passwd":          "neither https nor http",
	} {
		cfg := d.config()
		cfg.Catalog, cfg.APIURL, cfg.APIKey = "", url, apiKey
		_, err := backfill.New(cfg)
		if got := errorText(err); want == "" && err != nil || !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%q: got %v, want %q", url, err, want)
		}
	}
	for _, key := range []string{"ldr_live_sk_secret\n", "ldr live", "ldr_live_sk_sécret", "a\x00b"} {
		cfg := d.config()
		cfg.Catalog, cfg.APIKey = "", key
		if _, err := backfill.New(cfg); err == nil || !strings.Contains(err.Error(), "APIKey:") || strings.Contains(err.Error(), key) {
			t.Errorf("a key that is none: got %v", err)
		}
	}
	cfg := d.config()
	cfg.Catalog = backfill.Builtin // needs neither address nor key
	cfg.APIURL = "nonsense"
	if _, err := backfill.New(cfg); err != nil {
		t.Errorf("got %v", err)
	}
}
