package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// say runs the command line and returns the exit code and all it printed.
func say(t *testing.T, args ...string) (int, string) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "stdout")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr bytes.Buffer
	code := command(t.Context(), append([]string{"demo"}, args...), out, &stderr)
	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(printed) + stderr.String()
}

func TestTheManualIsComplete(t *testing.T) {
	t.Parallel()
	code, text := say(t, "-h")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, flag := range []string{"once", "events", "seed", "work-dir", "leadhouse", "kafka-brokers", "clickhouse-addr", "clickhouse-username", "name"} {
		if !regexp.MustCompile(`(?m)^  --` + flag + `\b`).MatchString(text) {
			t.Errorf("-h does not explain --%s", flag)
		}
	}
	for _, value := range []string{"default 20000", "default leadhouse_demo", "default 1"} {
		if !strings.Contains(text, value) {
			t.Errorf("-h does not say %q", value)
		}
	}
}

func TestAWrongCommandLineStartsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--evnts", "1"}, []string{"evnts"}},
		{[]string{"now"}, []string{`"now"`}},
		{
			[]string{"--leadhouse", leadhouseBinary, "--events", "1", "--name", "production", "--kafka-brokers", "nowhere", "--clickhouse-username", "x"},
			[]string{"--events: 1", `--name: "production"`, `"nowhere" is not host:port`, "--clickhouse-username is for"},
		},
		{[]string{"--leadhouse", "/no/such/file"}, []string{"/no/such/file", "make build"}},
	} {
		code, text := say(t, c.args...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: got %s\nwant …%s", c.args, text, want)
			}
		}
	}
}
