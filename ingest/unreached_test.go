package ingest_test

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// Parsing before verifying is how others were opened. That nothing of the decoder runs for a body whose signature does not
// fit is read from counters in every line of it: the tests below run in a binary that has them.

// own makes ingest read no catalog at its start, which is read by the same scanner.
func own(c *ingest.Config) { c.EventTypes = []string{"lead.created"} }

// unsigned are the ways to 401 with a body there.
func unsigned(body string) [][]string {
	good := sign(body)
	return [][]string{
		nil,
		{"X-Leadron-Signature: "},
		{"X-Leadron-Signature: " + sign(body+" ")},
		{"X-Leadron-Signature: " + signWith("", body)},
		{"X-Leadron-Signature: " + good, "X-Leadron-Signature: " + good},
		{"X-Leadron-Signature: " + good[:63]},
		{"X-Leadron-Signature: sha1=" + good[:40]},
		{"X-Leadron-Signature: none="},
		{"X-Leadron-Signature: " + strings.Repeat("a", 2000)},
	}
}

func TestUnsignedDeliveriesOfAllKindsAre401(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), own)
	for _, body := range []string{event("evt_1", "ld_1"), "", "not JSON", strings.Repeat("[", 1000), "\xff"} {
		for _, headers := range unsigned(body) {
			wantStatus(t, h.send(body, headers...), 401)
		}
	}
	h.check()
}

func TestOneSignedDeliveryIs202(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), own)
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
	h.check()
}

func TestNoLineOfTheDecoderRunsOn401(t *testing.T) {
	t.Parallel()
	binary := measuredBinary(t)
	if lines := reached(t, binary, "TestUnsignedDeliveriesOfAllKindsAre401"); len(lines) > 0 {
		t.Errorf("these lines of the decoder ran on 401:\n%s", strings.Join(lines, "\n"))
	}
	if lines := reached(t, binary, "TestOneSignedDeliveryIs202"); len(lines) < 20 {
		t.Errorf("lines of the decoder that ran on 202: got %d: the test sees nothing", len(lines))
	}
}

// reached runs a test, and lists the blocks of the decoder's files that ran.
func reached(t *testing.T, binary, test string) (blocks []string) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	run := exec.Command(binary, "-test.run", "^"+test+"$", "-test.v", "-test.coverprofile", profile)
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Fatalf("%s: %v\n%s", test, err, out)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	// path/schema/scan.go:61.32,63.2 1 0: the block, its statements, how often it ran
	line := regexp.MustCompile(`(?m)^\S+/schema/((?:envelope|scan|text|value)\.go:\S+) \d+ (\d+)$`)
	all := line.FindAllStringSubmatch(string(text), -1)
	if len(all) < 100 {
		t.Fatalf("blocks of the decoder's files: got %d: have they moved?", len(all))
	}
	for _, m := range all {
		if m[2] != "0" {
			blocks = append(blocks, m[1])
		}
	}
	return blocks
}

// And no other decoder is there to be reached: what the package imports can parse nothing of a body. Nor can it compare
// bytes in any other way than by hmac.Equal.
func TestNoOtherDecoderOrComparisonIsImported(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	equals := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if strings.HasPrefix(path, "encoding/") && !slices.Contains([]string{"encoding/hex", "encoding/base64"}, path) ||
				strings.HasPrefix(path, "compress/") || strings.Contains(path, "json") || strings.Contains(path, "yaml") {
				t.Errorf("%s imports %s", name, path)
			}
		}
		equals += strings.Count(string(text), "hmac.Equal(")
		for _, variable := range []string{"bytes.Equal(", "bytes.Compare(", "slices.Equal(", "reflect.DeepEqual(", "slices.Compare("} {
			if strings.Contains(string(text), variable) {
				t.Errorf("%s has %s…): its time tells how far two values agree", name, variable)
			}
		}
	}
	if equals != 1 {
		t.Errorf("uses of hmac.Equal: got %d, want 1, the one every signature meets", equals)
	}
}
