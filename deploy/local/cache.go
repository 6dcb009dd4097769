package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPoll is how often a process that waits for another's download looks again. The wait is seconds long, and flock(2) has no form that a context could end.
const lockPoll = 100 * time.Millisecond

// cacheDir is where fetched engines are kept: shared by every process of this user, safe to delete when none runs.
func cacheDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache: %w", err)
	}
	return filepath.Join(dir, "leadhouse"), nil
}

// fetchOnce makes dir exist, filled by fetch, once among all processes that ask at the same time.
//
// fetch fills a directory beside dir, which is then renamed into place: dir is there whole or not at all, so its mere existence means that it is complete. A process killed half-way leaves a directory that the next one removes.
func fetchOnce(ctx context.Context, dir string, progress func(string), fetch func(ctx context.Context, into string) error) error {
	if isDir(dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	unlock, err := lockFile(ctx, dir+".lock", func() {
		progress("waiting for another process that is fetching " + filepath.Base(dir))
	})
	if err != nil {
		return err
	}
	defer unlock()
	if isDir(dir) {
		return nil
	}

	unfinished := dir + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished download: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return fmt.Errorf("make a directory for the download: %w", err)
	}
	if err := fetch(ctx, unfinished); err != nil {
		return errors.Join(err, os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return fmt.Errorf("publish the download: %w", err)
	}
	return nil
}

// lockFile takes an exclusive lock that ends with the returned function or with this process, however it ends. busy is called once if somebody else holds it.
func lockFile(ctx context.Context, path string, busy func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // the lock lives as long as the descriptor
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			busy()
			told = true
		}
		if err := wait(ctx, lockPoll); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("wait for the lock %s: %w", path, err)
		}
	}
}

// wait lets d pass, or returns the context's error as soon as there is one.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
