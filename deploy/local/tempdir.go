package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A tempDir is an engine's data directory that goes with it. A process killed in its prime cannot clean up: its directories are removed by the next one that makes such a directory, which sees by their locks that nobody lives there.
type tempDir struct {
	path string
	lock *os.File
}

const (
	tempPrefix   = "leadhouse-local-"
	tempLockName = "owner.lock"
)

func makeTempDir(parent string) (*tempDir, error) {
	sweep(parent)
	path, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	d := &tempDir{path: path}
	if err := d.own(); err != nil {
		return nil, errors.Join(fmt.Errorf("lock a data directory: %w", err), d.remove())
	}
	return d, nil
}

// own locks the lock file before it gets its name: no sweep can come between.
func (d *tempDir) own() (err error) {
	if d.lock, err = os.CreateTemp(d.path, "lock-"); err != nil {
		return err
	}
	if err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	return os.Rename(d.lock.Name(), filepath.Join(d.path, tempLockName))
}

func (d *tempDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

// sweep removes what dead processes left. One without a lock file is being made at this moment, or is not ours.
func sweep(parent string) {
	if parent == "" {
		parent = os.TempDir()
	}
	dirs, _ := filepath.Glob(filepath.Join(parent, tempPrefix+"*")) // the pattern is well-formed
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, tempLockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // what cannot be removed (another user's) is left to the next
		}
		_ = f.Close()
	}
}

// TempDir makes a directory that goes with this process. Its remove does that; after a kill -9, the next process that makes such a directory does.
func TempDir() (path string, remove func() error, err error) {
	d, err := makeTempDir("")
	if err != nil {
		return "", nil, err
	}
	return d.path, d.remove, nil
}
