package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ProgramConfig says what to run.
type ProgramConfig struct {
	Path string   // the executable
	Args []string // without the program's name

	// Env is the whole environment, as os/exec has it: secrets go in here, since arguments show in the process list. Defaults to this process's.
	Env []string

	LogFile string // gets what it prints, appended
}

// A Program is a command that ends when this process does, **however this process ends**.
type Program struct {
	cfg      ProgramConfig
	process  *process
	logStart int64 // where in LogFile its lines begin
}

// StartProgram starts a command and returns at once.
func StartProgram(cfg ProgramConfig) (*Program, error) {
	log, err := os.OpenFile(cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", cfg.Path, err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	p := &Program{cfg: cfg}
	if p.logStart, err = endOf(log); err != nil {
		return nil, err
	}
	cmd := exec.Command(cfg.Path, cfg.Args...)
	cmd.Env = cfg.Env
	p.process, err = start(cmd, log)
	return p, err
}

// PID is that of the process.
func (p *Program) PID() int { return p.process.pid() }

// Gone is closed when the program has ended.
func (p *Program) Gone() <-chan struct{} { return p.process.gone }

// Err is how it ended, nil for a success. It waits for the end.
func (p *Program) Err() error {
	<-p.process.gone
	return p.process.err
}

// ExitCode is what it ended with, -1 after a signal. It waits for the end.
func (p *Program) ExitCode() int {
	<-p.process.gone
	return p.process.cmd.ProcessState.ExitCode()
}

// State says how it ended and what it used: its CPU time, for one. It waits for the end.
func (p *Program) State() *os.ProcessState {
	<-p.process.gone
	return p.process.cmd.ProcessState
}

// Stop asks it to end (SIGTERM), makes it end when it takes too long, and returns when it is gone.
func (p *Program) Stop() { p.process.stop() }

// Kill ends it as kill -9 does, and returns when it is gone.
func (p *Program) Kill() { p.process.kill() }

// Pause stops it where it stands (SIGSTOP): connections stay, nothing answers.
func (p *Program) Pause() error { return p.process.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (p *Program) Continue() error { return p.process.signal(syscall.SIGCONT) }

// Log is what it has printed so far.
func (p *Program) Log() (string, error) {
	b, err := os.ReadFile(p.cfg.LogFile)
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", p.cfg.Path, err)
	}
	return string(b[min(p.logStart, int64(len(b))):]), nil
}

// Leadhouse is the leadhouse binary to run: the one at path, or with "" the one beside this program. The error says how to
// make it.
func Leadhouse(path string) (string, error) {
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), "leadhouse")
	}
	if _, err := os.Stat(path); err != nil {
		return path, fmt.Errorf("%w; `make build` makes it", err)
	}
	return path, nil
}
