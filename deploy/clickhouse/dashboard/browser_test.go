//go:build bi

package dashboard_test

import (
	"encoding/json"
	"image"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
	"github.com/leadhouse/leadhouse/deploy/clickhouse/dashboard"
)

// sight is what the script saw in the browser.
type sight struct {
	Charts []struct {
		Title, Error string
		Drawn        bool
	}
	GlobalError string
	Foreign     []string // requests to other than the server
	Faults      []string // of the page's own script
}

// The link in a real browser, with nothing but the server to ask. Run with -artifacts to keep the picture.
func TestTheLinkInChromium(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	link, err := dashboard.Link("http://"+s.ClickHouse.HTTPAddr(), s.User, s.Database)
	if err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(t.ArtifactDir(), "dashboard.png")
	modules := bi.Npm(t, "browser")
	out := bi.Output(t, "browser", []string{
		"NODE_PATH=" + filepath.Join(modules, "node_modules"), "CHROMIUM=" + bi.Chromium(t), "PICTURE=" + picture, "LINK=" + link,
	}, "node", "look.cjs")
	var got sight
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(got.Charts) != len(charts(t)) || got.GlobalError != "" {
		t.Errorf("%d charts, want %d; the page says %q", len(got.Charts), len(charts(t)), got.GlobalError)
	}
	for _, c := range got.Charts {
		if !c.Drawn || c.Error != "" || c.Title == "" {
			t.Errorf("the chart %q is not drawn: %s", c.Title, c.Error)
		}
	}
	if len(got.Foreign)+len(got.Faults) > 0 {
		t.Errorf("asked elsewhere: %q; faults of the page: %q", got.Foreign, got.Faults)
	}
	if n := colours(t, picture); n < 50 {
		t.Errorf("the picture has %d colours: nothing is drawn", n)
	}
}

// colours counts the different ones in a picture: an empty page has a handful, lines drawn smoothly have many.
func colours(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}
