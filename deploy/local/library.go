package local

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// libraryVersion is the release of the npm packages that carry libchdb. Named, because the tag "latest" is an older one.
const libraryVersion = "26.7.3-stable.1"

// A libraryPackage is the npm package that carries libchdb for one platform.
type libraryPackage struct {
	name string
	file string // inside the tarball

	// integrity is the tarball's SHA-512 as the registry states it (npm view NAME@VERSION dist.integrity), fixed here so that a registry that serves something else later is refused.
	// Empty where nobody has been able to read it yet: then the figure that the registry gives at the time of the download is what the tarball is held to, and the progress line says so.
	integrity string
}

// libraryPackages by GOOS/GOARCH.
var libraryPackages = map[string]libraryPackage{
	"linux/amd64": {
		name: "@chdb/lib-linux-x64-gnu", file: "package/libchdb.so",
		integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
	},
	"linux/arm64":  {name: "@chdb/lib-linux-arm64-gnu", file: "package/libchdb.so"},
	"darwin/arm64": {name: "@chdb/lib-darwin-arm64", file: "package/libchdb.so"},
	"darwin/amd64": {name: "@chdb/lib-darwin-x64", file: "package/libchdb.so"},
}

// library returns the path of libchdb, which it fetches into the cache if it is not there yet. One download, however many processes ask.
func library(ctx context.Context, cache string, progress func(string)) (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := libraryPackages[platform]
	if !ok {
		return "", fmt.Errorf("there is no package of ClickHouse for %s", platform)
	}
	dir := filepath.Join(cache, "chdb-"+libraryVersion+"-"+runtime.GOOS+"-"+runtime.GOARCH)
	path := filepath.Join(dir, "libchdb.so")
	err := fetchOnce(ctx, dir, progress, func(ctx context.Context, into string) error {
		return pkg.fetch(ctx, "npm", into, progress)
	})
	if err != nil {
		return "", fmt.Errorf("fetch %s@%s: %w (by hand: put its libchdb.so at %s)", pkg.name, libraryVersion, err, path)
	}
	return path, nil
}

// fetch leaves libchdb.so in a directory, from a tarball whose every byte has been checked before any is unpacked.
func (p libraryPackage) fetch(ctx context.Context, npm, into string, progress func(string)) error {
	began := time.Now()
	npm, err := exec.LookPath(npm)
	if err != nil {
		return fmt.Errorf("find npm: %w", err)
	}
	want := p.integrity
	if want == "" {
		if want, err = runIn(ctx, into, npm, "view", p.name+"@"+libraryVersion, "dist.integrity"); err != nil {
			return err
		}
		progress("no figure to hold " + p.name + " to is built in: taking the registry's own")
	}
	progress(fmt.Sprintf("fetching ClickHouse once: %s@%s with npm, about 170 MB, kept in %s", p.name, libraryVersion, filepath.Dir(into)))
	tarball, err := runIn(ctx, into, npm, "pack", "--silent", "--ignore-scripts", p.name+"@"+libraryVersion)
	if err != nil {
		return err
	}
	tarball = filepath.Join(into, filepath.Base(tarball))
	if err := checkIntegrity(tarball, want); err != nil {
		return err
	}
	progress("checked; unpacking 570 MB")
	if err := extract(tarball, p.file, filepath.Join(into, "libchdb.so")); err != nil {
		return err
	}
	if err := os.Remove(tarball); err != nil {
		return fmt.Errorf("remove the tarball: %w", err)
	}
	progress(fmt.Sprintf("ClickHouse is there, after %.0f s", time.Since(began).Seconds()))
	return nil
}

// runIn runs a command in a directory and returns the last line that it printed.
func runIn(ctx context.Context, dir, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // npm's own children may keep the pipes open after it was killed
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), args[0], err, tail(stderr.String()+stdout.String(), 400))
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1]), nil
}

// checkIntegrity compares a file with a Subresource Integrity string of one SHA-512, the form npm uses.
func checkIntegrity(path, want string) error {
	encoded, ok := strings.CutPrefix(want, "sha512-")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(sum) != sha512.Size {
		return fmt.Errorf("%q is no SHA-512 integrity", want)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the tarball: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read the tarball: %w", err)
	}
	if got := h.Sum(nil); !bytes.Equal(got, sum) {
		return fmt.Errorf("%s is not what it should be: its integrity is sha512-%s, wanted %s", filepath.Base(path), base64.StdEncoding.EncodeToString(got), want)
	}
	return nil
}

// extract copies one file out of a .tgz.
func extract(tarball, name, to string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("open the tarball: %w", err)
	}
	defer func() { _ = f.Close() }()
	zr, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read the tarball: %w", err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("there is no %s in the tarball", name)
		}
		if err != nil {
			return fmt.Errorf("read the tarball: %w", err)
		}
		if h.Name == name {
			return writeSynced(to, tr)
		}
	}
}

// writeSynced writes a file that is on the disk when it returns: the rename that publishes it must not survive a power cut that its bytes do not.
func writeSynced(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(path), err)
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// tail is the end of a text, for an error message.
func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = "…" + strings.ToValidUTF8(s[len(s)-n:], "")
	}
	return s
}
