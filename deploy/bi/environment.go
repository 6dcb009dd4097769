package bi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Venv is a Python environment with what a requirements.txt pins, made once for this user. Run its bin/python.
func Venv(t testing.TB, requirements string) (dir string) {
	t.Helper()
	python := need(t, "python3", "apt-get install python3 python3-venv")
	version := Output(t, "", nil, python, "--version") // another Python needs other wheels
	return environment(t, "python", func(dir string) error {
		if err := run(t.Context(), dir, python, "-m", "venv", dir); err != nil {
			return err
		}
		return run(t.Context(), dir, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", filepath.Join(dir, filepath.Base(requirements)))
	}, []byte(version), requirements)
}

// Npm is a directory with the node_modules of the package.json in dir, by its package-lock.json, made once for this user. For a
// CommonJS script it is NODE_PATH=<it>/node_modules.
func Npm(t testing.TB, dir string) (made string) {
	t.Helper()
	npm := need(t, "npm", "apt-get install npm")
	return environment(t, "npm", func(made string) error {
		return run(t.Context(), made, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	}, nil, filepath.Join(dir, "package.json"), filepath.Join(dir, "package-lock.json"))
}

// Maven is a directory with the jars that a pom.xml depends on, made once for this user. For java it is -cp '<it>/*'.
func Maven(t testing.TB, pom string) (jars string) {
	t.Helper()
	mvn := need(t, "mvn", "apt-get install maven")
	need(t, "java", "apt-get install default-jdk-headless")
	return filepath.Join(environment(t, "maven", func(dir string) error {
		return run(t.Context(), dir, mvn, "--batch-mode", "--strict-checksums", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=lib")
	}, nil, pom), "lib")
}

// Chromium is the path of the browser.
func Chromium(t testing.TB) string {
	t.Helper()
	return need(t, "chromium", "apt-get install chromium")
}

// need finds a program. **A test without its client has failed**: skipped, nobody would notice.
func need(t testing.TB, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on the PATH, and this test is about a real client: %s", program, install)
	}
	return path
}

// complete is the last file to come: an environment without it was not finished.
const complete = ".complete"

// environment makes a directory in leadhouse's cache, once among all processes that ask at the same time. It is named for the
// content of the files that pin its versions, which stand in it when fill is called. It is filled where it stays, because a
// Python environment cannot be moved.
func environment(t testing.TB, kind string, fill func(dir string) error, salt []byte, pins ...string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("find the user's cache: %v", err)
	}
	h := sha256.New()
	h.Write(salt)
	for _, pin := range pins {
		content, err := os.ReadFile(pin)
		if err != nil {
			t.Fatalf("read what %s is to install: %v", kind, err)
		}
		fmt.Fprintf(h, "%d:", len(content))
		h.Write(content)
	}
	dir := filepath.Join(cache, "leadhouse", kind+"-"+hex.EncodeToString(h.Sum(nil)[:8]))
	if err := once(dir, func() error { return errors.Join(copyInto(dir, pins), fill(dir)) }); err != nil {
		t.Fatalf("install what %s pins: %v", strings.Join(pins, " and "), err)
	}
	return dir
}

func once(dir string, fill func() error) error {
	mark := filepath.Join(dir, complete)
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock: %w", err)
	}
	defer func() { _ = lock.Close() }() // which is its end, and so is that of this process
	for {
		// It waits as long as the other process fetches: minutes.
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove an unfinished one: %w", err)
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	if err := fill(); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o600)
}

func copyInto(dir string, files []string) error {
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), content, 0o600); err != nil { //nolint:gosec // a test's own file, into the cache
			return err
		}
	}
	return nil
}

func run(ctx context.Context, dir, name string, args ...string) error {
	_, err := output(exec.CommandContext(ctx, name, args...), dir, nil)
	return err
}

// Output runs a command and returns what it printed to stdout, without the last line's end. env comes on top of this process's
// variables. A command that fails fails the test with all that it printed.
func Output(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := output(exec.CommandContext(t.Context(), name, args...), dir, env)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func output(cmd *exec.Cmd, dir string, env []string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second // its own children may keep the pipes open after it was killed
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
