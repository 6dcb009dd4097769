package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// usage is what a process has used from its start to its end.
type usage struct {
	cpu  time.Duration // user and system
	peak uint64        // bytes resident
}

func (u usage) mebibytes() float64 { return float64(u.peak) / (1 << 20) }

// A process is one that is measured, or measured against.
type process struct {
	name    string
	program *local.Program
	peak    func() uint64 // of resident memory; waits for the process's end
	expect  chan struct{} // closed when the end is asked for
	once    sync.Once
	watcher sync.WaitGroup
}

// launch starts a process. Secrets go by the environment, because arguments show in the process list; leadhouse's own
// variables of the user do not reach it.
func (r *rig) launch(name, path string, env map[string]string, args ...string) (*process, error) {
	p, err := local.StartProgram(local.ProgramConfig{
		Path: path, Args: args, Env: environment(env), LogFile: filepath.Join(r.dir, name+".log"),
	})
	if err != nil {
		return nil, err
	}
	return &process{name: name, program: p, peak: watchPeak(p), expect: make(chan struct{})}, nil
}

func environment(add map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LEADHOUSE_") })
	for _, name := range slices.Sorted(maps.Keys(add)) {
		env = append(env, name+"="+add[name])
	}
	return env
}

// serve starts a process that is meant to stay: if it ends by itself, the whole run does.
func (r *rig) serve(name, path string, env map[string]string, args ...string) (*process, error) {
	p, err := r.launch(name, path, env, args...)
	if err != nil {
		return nil, err
	}
	p.watcher.Go(func() {
		select {
		case <-p.expect:
		case <-p.program.Gone():
			r.fail(p.ended())
		}
	})
	return p, nil
}

// stop asks for the end and returns what the process has used. It may be called more than once.
func (p *process) stop() usage {
	p.once.Do(func() { close(p.expect) })
	p.watcher.Wait()
	p.program.Stop()
	return p.used()
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.once.Do(func() { close(p.expect) })
	p.program.Kill()
	p.peak()
}

// wait waits for a process that ends by itself, and must do so with success.
func (p *process) wait(ctx context.Context) (usage, error) {
	select {
	case <-p.program.Gone():
	case <-ctx.Done():
		p.stop()
		return usage{}, context.Cause(ctx)
	}
	if p.program.Err() != nil {
		p.peak()
		return usage{}, p.ended()
	}
	return p.used(), nil
}

func (p *process) used() usage {
	state := p.program.State()
	return usage{cpu: state.UserTime() + state.SystemTime(), peak: p.peak()}
}

// logTail is how many lines of a dead process's log are shown.
const logTail = 15

func (p *process) ended() error {
	how := p.program.Err()
	if how == nil {
		how = errors.New("exit status 0")
	}
	log, err := p.program.Log()
	if err != nil {
		return fmt.Errorf("%s ended: %w, and its log is lost: %w", p.name, how, err)
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return fmt.Errorf("%s ended: %w; its last words:\n%s", p.name, how, strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
}

// awaitLimit is when a condition is given up that has nothing to do with a number of rows.
const awaitLimit = time.Minute

// await asks, every so often, until the answer is yes.
func await(ctx context.Context, what string, limit, every time.Duration, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("waited %v for %s", limit, what))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		yes, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("wait for %s: %w", what, err)
		case yes:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// ready waits until a server answers a GET with 200.
func ready(ctx context.Context, what, url string) error {
	return await(ctx, what+" to be ready", awaitLimit, 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, err
		}
		req.Close = true // a kept connection would be a goroutine that nobody owns
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // not listening yet; the limit decides
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
}
