//go:build bi

package superset_test

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// A visit is what happened when the dashboard was opened in Chromium.
type visit struct {
	Failures []string // the errors that charts show
	Answers  []struct {
		Chart   int // 0 for a filter's question
		Status  int
		Request struct{ Queries []map[string]any }
		Answer  string
	}
}

func (s *server) visit(t *testing.T, charts int, picture string) (v visit) {
	t.Helper()
	script, err := filepath.Abs("testdata/browser.cjs")
	if err != nil {
		t.Fatal(err)
	}
	out := bi.Output(t, t.TempDir(), []string{
		"NODE_PATH=" + filepath.Join(bi.Npm(t, "testdata"), "node_modules"), "CHROMIUM=" + bi.Chromium(t),
		"SUPERSET_URL=" + s.url, "SUPERSET_USER=" + s.user, "SUPERSET_PASSWORD=" + s.password,
		"DASHBOARD=leadron", "CHARTS=" + strconv.Itoa(charts), "PICTURE=" + picture,
	}, "node", script)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("read what the browser saw: %v: %.1000s", err, out)
	}
	return v
}

const maxPicture = 400 << 10 // it is part of a README

// checkPicture: an empty page has few colours, and a page that fits a screen is no dashboard of 17 charts.
func checkPicture(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	colours := map[[3]uint32]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 3 {
		for x := b.Min.X; x < b.Max.X; x += 3 {
			r, g, b, _ := img.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}]++
		}
	}
	many := 0
	for _, n := range colours {
		if n > 100 {
			many++
		}
	}
	if b.Dx() != 1440 || b.Dy() < 2000 || many < 15 || info.Size() > maxPicture {
		t.Errorf("the picture is %d × %d, %d bytes, with %d colours: want 1440 × 2000 or more, at most %d bytes, 15 colours", b.Dx(), b.Dy(), info.Size(), many, maxPicture)
	}
}
