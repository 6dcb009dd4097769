package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// leadhouse is the built binary, as the demo runs it: each command a process of its own, as in production.
type leadhouse struct {
	binary string
	logDir string
	fail   func(error) // ends the story
}

// A service is a command that runs until it is stopped.
type service struct {
	name     string
	program  *local.Program
	stopping chan struct{}
	once     sync.Once
	watcher  sync.WaitGroup
}

// start starts a command that is meant to stay. If it ends by itself, the story does, with the end of its log.
func (l *leadhouse) start(command string, secrets []string, args ...string) (*service, error) {
	p, err := l.launch(command, secrets, args)
	if err != nil {
		return nil, err
	}
	s := &service{name: command, program: p, stopping: make(chan struct{})}
	s.watcher.Go(func() {
		select {
		case <-s.stopping:
		case <-p.Gone():
			l.fail(ended(command, p))
		}
	})
	return s, nil
}

// stop asks the service to end in good order and returns when it has. It may be called more than once, and on nil.
func (s *service) stop() {
	if s == nil {
		return
	}
	s.once.Do(func() { close(s.stopping) })
	s.watcher.Wait()
	s.program.Stop()
}

// runOnce runs a command to its end and returns what it printed.
func (l *leadhouse) runOnce(ctx context.Context, command string, secrets []string, args ...string) (output string, err error) {
	p, err := l.launch(command, secrets, args)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Gone():
	case <-ctx.Done():
		p.Stop()
		return "", context.Cause(ctx)
	}
	if p.Err() != nil {
		return "", ended(command, p)
	}
	return p.Log()
}

func (l *leadhouse) launch(command string, secrets, args []string) (*local.Program, error) {
	return local.StartProgram(local.ProgramConfig{
		Path:    l.binary,
		Args:    append([]string{command}, args...),
		Env:     environment(os.Environ(), secrets),
		LogFile: filepath.Join(l.logDir, command+".log"),
	})
}

// environment is what a child gets: ours without leadhouse's own variables, which may be meant for the user's production,
// and with the secrets, because arguments show in the process list.
func environment(ours, secrets []string) []string {
	var env []string
	for _, e := range ours {
		if !strings.HasPrefix(e, "LEADHOUSE_") {
			env = append(env, e)
		}
	}
	return append(env, secrets...)
}

// logTail is how many lines of a dead child's log are shown.
const logTail = 15

func ended(command string, p *local.Program) error {
	how := p.Err()
	if how == nil {
		how = errors.New("exit status 0")
	}
	log, err := p.Log()
	if err != nil {
		return fmt.Errorf("leadhouse %s ended: %w, and its log is lost: %w", command, how, err)
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return fmt.Errorf("leadhouse %s ended: %w; its last words:\n%s", command, how, strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
}

// ready waits until a service says so on its admin listener.
func ready(ctx context.Context, command, admin string) error {
	return await(ctx, "leadhouse "+command+" to be ready", func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		req.Close = true // a kept connection would be a goroutine that nobody owns
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err // not listening yet
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
}

const (
	// awaitPoll is how often a condition is looked at.
	awaitPoll = 100 * time.Millisecond

	// awaitLimit is when a condition is given up: everything here takes seconds on a busy machine with two cores.
	awaitLimit = 90 * time.Second
)

// await asks until the answer is yes. An error counts as no: what is asked may be starting. In the end, it says what the
// last one was.
func await(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	var last error
	for {
		yes, err := ask(limited)
		if yes {
			return nil
		}
		if limited.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limited.Done():
			return errors.Join(fmt.Errorf("waited %v for %s", awaitLimit, what), last)
		case <-tick.C:
		}
	}
}
