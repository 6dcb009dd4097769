package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/ingest"
)

// signedBy is crypto/hmac's own word on a signature: what may pass, and nothing else.
func signedBy(secret string, values []string, body []byte, encode func([]byte) string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	want := encode(mac.Sum(nil))
	return len(values) == 1 && (values[0] == want || values[0] == "sha256="+want)
}

// FuzzSignature: whatever the header says about whatever body, what verifies is what crypto/hmac makes of them, to the
// letter. Headers that nearly fit are made of the right one: it is cut, and something follows.
func FuzzSignature(f *testing.F) {
	f.Add("sha1=0000000000000000000000000000000000000000", []byte("body"), uint8(64), "")
	f.Fuzz(func(t *testing.T, value string, body []byte, cut uint8, more string) {
		for _, c := range []struct {
			scheme ingest.Scheme
			encode func([]byte) string
		}{
			{ingest.Scheme{}, hex.EncodeToString},
			{ingest.Scheme{Encoding: "base64"}, base64.StdEncoding.EncodeToString},
		} {
			raw, _ := hex.DecodeString(sign(string(body)))
			good := c.encode(raw)
			near := good[:min(int(cut), len(good))] + more
			for _, values := range [][]string{
				{value},
				{near},
				{value + near},
				{"sha256=" + near},
				{strings.ToUpper(near)},
				{near + "," + good},
				{value, good},
				{good, value},
				{c.encode([]byte(value))},
			} {
				id, reason := ingest.Verify(c.scheme, one(secret), signature(values...), body)
				if want := signedBy(secret, values, body, c.encode); (id == secretID) != want || (id == "") == (reason == "") {
					t.Errorf("%q over %q: got %q, %q, want verified %v", values, body, id, reason, want)
				}
			}
		}
	})
}

var (
	plainID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	oneWord = regexp.MustCompile(`^[!-~]{16,}$`) // longer than any word of an error
)

// FuzzSecretFile: any text is parsed or refused. What is parsed stands in the file line by line, is usable, and round-trips;
// what is refused is refused without its secrets.
func FuzzSecretFile(f *testing.F) {
	f.Add([]byte("a=8vM2qXz7Lr4TnWc1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		secrets, err := ingest.ParseSecretFile(text)
		if (err == nil) != (len(secrets) > 0) {
			t.Fatalf("%d secrets and error %v", len(secrets), err)
		}
		lines := entries(string(text))
		if err != nil {
			for _, line := range lines {
				if _, value, _ := strings.Cut(line, "="); oneWord.MatchString(value) && strings.Contains(err.Error(), value) {
					t.Fatalf("the error holds the secret %q: %v", value, err)
				}
			}
			return
		}
		if len(secrets) != len(lines) {
			t.Fatalf("%d secrets of %d lines: one was left out", len(secrets), len(lines))
		}
		var again strings.Builder
		ids, values := map[string]bool{}, map[string]bool{}
		for i, s := range secrets {
			id, value, _ := strings.Cut(lines[i], "=")
			if s.ID != strings.TrimSpace(id) || s.Value() != value {
				t.Errorf("line %q became %q=%q", lines[i], s.ID, s.Value())
			}
			if len(s.Value()) < 16 || strings.TrimSpace(s.Value()) != s.Value() || !plainID.MatchString(s.ID) || ids[s.ID] || values[s.Value()] {
				t.Errorf("unusable secret %q=%q", s.ID, s.Value())
			}
			ids[s.ID], values[s.Value()] = true, true
			fmt.Fprintf(&again, "%s=%s\n", s.ID, s.Value())
		}
		twice, err := ingest.ParseSecretFile([]byte(again.String()))
		if err != nil || len(twice) != len(secrets) {
			t.Fatalf("does not round-trip: %d then %d, %v", len(secrets), len(twice), err)
		}
		for i := range secrets {
			if secrets[i].ID != twice[i].ID || secrets[i].Value() != twice[i].Value() {
				t.Errorf("secret %d changed", i)
			}
		}
	})
}

// entries are the lines of a secret file that are to hold a secret.
func entries(text string) (lines []string) {
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if plain := strings.TrimSpace(line); plain != "" && plain[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}
