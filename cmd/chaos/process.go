package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// A worker is a leadhouse command that is meant to run, and that is killed and started again. Its methods are called by one
// goroutine at a time; the restore, which stops all sinks, locks them.
type worker struct {
	name   string // ingest-1
	path   string
	args   []string
	env    []string
	logDir string
	ended  func(error) // told when it has ended by itself

	mu      sync.Mutex
	program *local.Program
	expect  chan struct{} // closed before an end of our making
	watcher sync.WaitGroup
	starts  int
}

// start starts it, if it does not run.
func (w *worker) start() error {
	if w.program != nil {
		return nil
	}
	p, err := local.StartProgram(local.ProgramConfig{
		Path: w.path, Args: w.args, Env: w.env, LogFile: filepath.Join(w.logDir, w.name+".log"),
	})
	if err != nil {
		return err
	}
	w.starts++
	w.program, w.expect = p, make(chan struct{})
	expect := w.expect
	w.watcher.Go(func() {
		select {
		case <-expect:
		case <-p.Gone():
			w.ended(ended(w.name, p))
		}
	})
	return nil
}

// end ends it, if it runs.
func (w *worker) end(how func(*local.Program)) {
	if w.program == nil {
		return
	}
	close(w.expect)
	how(w.program)
	w.watcher.Wait()
	w.program = nil
}

func (w *worker) kill() { w.end((*local.Program).Kill) }
func (w *worker) stop() { w.end((*local.Program).Stop) }

// alive starts it again if it has ended by itself, which has been reported.
func (w *worker) alive() error {
	if w.program != nil {
		select {
		case <-w.program.Gone():
			w.end((*local.Program).Stop)
		default:
		}
	}
	return w.start()
}

// environment is what a child gets: ours without leadhouse's own variables, which may be meant for the user's production,
// and with the secrets, because arguments show in the process list.
func environment(secrets ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LEADHOUSE_") })
	return append(env, secrets...)
}

// logTail is how many lines of a dead process's log are shown.
const logTail = 15

func ended(name string, p *local.Program) error {
	how := p.Err()
	if how == nil {
		how = errors.New("exit status 0")
	}
	log, err := p.Log()
	if err != nil {
		return fmt.Errorf("%s ended: %w, and its log is lost: %w", name, how, err)
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return fmt.Errorf("%s ended: %w; its last words:\n%s", name, how, strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
}

// runOnce runs a leadhouse command to its end, which must be a success.
func (s *stack) runOnce(ctx context.Context, name string, args ...string) error {
	p, err := local.StartProgram(local.ProgramConfig{
		Path: s.leadhouse, Args: args, Env: environment(), LogFile: filepath.Join(s.dir, name+".log"),
	})
	if err != nil {
		return err
	}
	select {
	case <-p.Gone():
	case <-ctx.Done():
		p.Stop()
		return context.Cause(ctx)
	}
	if p.Err() != nil {
		return ended(name, p)
	}
	return nil
}
