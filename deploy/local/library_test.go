package local

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeNpm is an npm whose `pack` leaves the given tarball and whose `view` states an integrity.
func fakeNpm(t *testing.T, tarball []byte, integrity string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tarball"), tarball, 0o644); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncase $1 in\n" +
		"view) echo " + integrity + ";;\n" +
		"pack) cp " + filepath.Join(dir, "tarball") + " lib.tgz; echo lib.tgz;;\n" +
		"esac\n"
	path := filepath.Join(dir, "npm")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func tgz(t *testing.T, name, content string) (tarball []byte, integrity string) {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	if _, e := tw.Write([]byte(content)); errors.Join(err, e, tw.Close(), zw.Close()) != nil {
		t.Fatal("make a tarball")
	}
	sum := sha512.Sum512(b.Bytes())
	return b.Bytes(), "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestFetchRefusesWhatIsNotPinned(t *testing.T) {
	t.Parallel()
	good, integrity := tgz(t, "package/libchdb.so", "library")
	bad, badIntegrity := tgz(t, "package/libchdb.so", "Library")
	other, otherIntegrity := tgz(t, "package/other.so", "library")
	for _, tc := range []struct {
		name    string
		npm     string
		pinned  string
		wantErr string
	}{
		{name: "as pinned", npm: fakeNpm(t, good, ""), pinned: integrity},
		{name: "not pinned, as the registry states", npm: fakeNpm(t, good, integrity), pinned: ""},
		{name: "other bytes than pinned", npm: fakeNpm(t, bad, badIntegrity), pinned: integrity, wantErr: "not what it should be"},
		{name: "other bytes than the registry states", npm: fakeNpm(t, bad, integrity), pinned: "", wantErr: "not what it should be"},
		{name: "a pin of another kind", npm: fakeNpm(t, good, ""), pinned: "sha1-AAAA", wantErr: "no SHA-512"},
		{name: "no library in it", npm: fakeNpm(t, other, ""), pinned: otherIntegrity, wantErr: "no package/libchdb.so"},
		{name: "npm fails", npm: "false", pinned: integrity, wantErr: "false pack: exit status 1"},
		{name: "no npm", npm: "/nowhere/npm", pinned: integrity, wantErr: "find npm"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "chdb")
			pkg := libraryPackage{name: "@chdb/lib", file: "package/libchdb.so", integrity: tc.pinned}
			err := fetchOnce(t.Context(), dir, ignore, func(ctx context.Context, into string) error {
				return pkg.fetch(ctx, tc.npm, into, ignore)
			})
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error: got %v, want %q", err, tc.wantErr)
				}
				if left, _ := filepath.Glob(dir + "*/*"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			files, _ := os.ReadDir(dir)
			got, _ := os.ReadFile(filepath.Join(dir, "libchdb.so"))
			if string(got) != "library" || len(files) != 1 {
				t.Errorf("got %q among %d files, want the library alone", got, len(files))
			}
		})
	}
}

func ignore(string) {}

func TestFetchOnceAmongMany(t *testing.T) {
	t.Parallel()
	const others = 7
	dir := filepath.Join(t.TempDir(), "cache", "engine")
	var (
		fetches atomic.Int32
		began   = make(chan struct{}, 1+others)
		settled = make(chan struct{}, 1+others) // one for each that waits for the first, or is done without having waited
		release = make(chan struct{})
		g       sync.WaitGroup
	)
	fetch := func() {
		var once sync.Once
		settle := func() { once.Do(func() { settled <- struct{}{} }) }
		defer settle()
		err := fetchOnce(t.Context(), dir, func(string) { settle() }, func(_ context.Context, into string) error {
			fetches.Add(1)
			began <- struct{}{}
			<-release
			return os.WriteFile(filepath.Join(into, "file"), nil, 0o644)
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
			t.Errorf("there, but not whole: %v", err)
		}
	}
	g.Go(fetch)
	<-began
	for range others {
		g.Go(fetch)
	}
	for range others {
		select {
		case <-settled:
		case <-began:
			t.Error("a second one fetches")
		}
	}
	close(release)
	g.Wait()
	if got := fetches.Load(); got != 1 {
		t.Errorf("fetches: got %d, want 1", got)
	}
}

func TestFetchAgainAfterOneThatWasKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "engine")
	if err := os.MkdirAll(filepath.Join(dir+".unfinished", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := fetchOnce(t.Context(), dir, ignore, func(context.Context, string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the unfinished download was taken over: %v", left)
	}
}

func TestWaitForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lockFile(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestNoEngineNamesTheWaysOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // neither clickhouse nor npm
	_, err := findEngine(t.Context(), ClickHouseConfig{CacheDir: t.TempDir(), Progress: ignore})
	for _, want := range []string{"install ClickHouse", "Node.js", "--clickhouse-addr", "by hand"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q: %v", want, err)
		}
	}
}

func TestInstalledServerComesFirst(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "clickhouse")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	got, err := findEngine(t.Context(), ClickHouseConfig{Progress: ignore})
	if err != nil || got.binary != binary {
		t.Errorf("got %+v, %v, want %s", got, err, binary)
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	living, err := makeTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := makeTempDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close() // as the kernel does for a killed process
	if err := os.Mkdir(filepath.Join(parent, tempPrefix+"being-made"), 0o755); err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	if isDir(dead.path) {
		t.Error("the dead one's is still there")
	}
	if !isDir(living.path) || !isDir(filepath.Join(parent, tempPrefix+"being-made")) {
		t.Error("a living one's was swept")
	}
	if err := living.remove(); err != nil || isDir(living.path) {
		t.Errorf("remove: %v", err)
	}
}
