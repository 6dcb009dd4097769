//go:build bi

package superset_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

const (
	bundle   = "leadron" // the folder of the exported files
	shipped  = "clickhousedb://bi@localhost:8123/leadron"
	database = bundle + "/databases/Leadron.yaml"
	epoch    = "timestamp: '2026-01-01T00:00:00+00:00'" // an export's time is no news
)

// pack zips the files as README.md says: with the address of one's own ClickHouse.
func pack(t *testing.T, files map[string]string, stack *bi.Stack) (path string) {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range sorted(files) { // in order: Superset numbers the charts as they come
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		content := files[name]
		if name == database {
			if !strings.Contains(content, "sqlalchemy_uri: "+shipped+"\n") {
				t.Fatalf("%s: the connection is not %s", name, shipped)
			}
			content = strings.Replace(content, shipped, fmt.Sprintf("clickhousedb://%s@%s:%d/%s", stack.User, stack.Host, stack.HTTPPort, stack.Database), 1)
		}
		if _, err := io.WriteString(f, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "leadron.zip")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// committed are the files of this folder.
func committed(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(bundle, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var (
	numbered  = regexp.MustCompile(`_\d+\.yaml$`) // by this Superset: no news either
	connected = regexp.MustCompile(`(?m)^sqlalchemy_uri: .*$`)
	dated     = regexp.MustCompile(`(?m)^timestamp: .*$`)
)

// exported are the files of Superset's own export, without what is of this Superset alone.
func (a *api) exported(t *testing.T, dashboard int) map[string]string {
	t.Helper()
	_, body := a.ask(t, "GET", fmt.Sprintf("/api/v1/dashboard/export/?q=!(%d)", dashboard), nil)
	r, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatalf("read the export: %v: %.500s", err, body)
	}
	files := map[string]string{}
	for _, f := range r.File {
		_, name, _ := strings.Cut(f.Name, "/")
		name = bundle + "/" + numbered.ReplaceAllString(name, ".yaml")
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		text := connected.ReplaceAllString(string(content), "sqlalchemy_uri: "+shipped)
		files[name] = dated.ReplaceAllString(text, epoch)
	}
	return files
}

// write puts the files of an export in the place of the committed ones.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(bundle); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
