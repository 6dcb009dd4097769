package main_test

import (
	"os"
	"strings"
	"testing"

	main "github.com/leadhouse/leadhouse/cmd/leadhouse"
)

const readme = "../../README.md"

// The README's table of settings is made of the settings. `go test ./cmd/leadhouse -run README -update` writes it anew.
func TestREADMEListsEverySetting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- settings -->\n", "<!-- /settings -->"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q … %q", readme, begin, end)
	}
	want := before + begin + main.SettingsTable() + end + after
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Errorf("%s lists other settings than the commands have: go test ./cmd/leadhouse -run README -update", readme)
	}
}
