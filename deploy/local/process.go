package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// startTimeout bounds one start of an engine. ClickHouse takes 0.1 s and Kafka 2 s, but Kafka took 32 s where two cores were busy with much else.
const startTimeout = 2 * time.Minute

// A process is a child that cannot outlive this one, not even after a kill -9 of it: see bind.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer     // its end is how the child learns that it should stop, or that this process is gone
	gone  chan struct{} // closed once the child has ended and has been waited for
	err   error         // how it ended; valid when gone is closed
}

// startProcess starts a command with its output in a file.
func startProcess(log *os.File, name string, args ...string) (*process, error) {
	return start(exec.Command(name, args...), log)
}

func start(cmd *exec.Cmd, log *os.File) (*process, error) {
	p := &process{cmd: cmd, gone: make(chan struct{})}
	name := cmd.Path
	p.cmd.Stdout, p.cmd.Stderr = log, log // a file, not a pipe: nothing of ours has to read it, and no `go test` waits for it
	if err := bind(p.cmd); err != nil {
		return nil, err
	}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe to %s: %w", name, err)
	}
	p.stdin = stdin

	started := make(chan error)
	go func() {
		// Linux sends the death signal when the *thread* that forked ends, and the Go runtime ends threads as it likes: this one is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.gone)
		}
	}()
	if err := <-started; err != nil {
		_ = stdin.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop asks for an end and, after the grace time, makes one. It returns when the child is gone.
func (p *process) stop() {
	_ = p.signal(syscall.SIGCONT) // a stopped process would sleep through the request
	_ = p.stdin.Close()
	_ = p.signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(stopGrace):
		p.kill()
	}
}

// kill ends the child as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	_ = p.signal(syscall.SIGKILL)
	<-p.gone
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// endOf is the offset at which a log's next line begins.
func endOf(log *os.File) (int64, error) {
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("find the end of %s: %w", log.Name(), err)
	}
	return end, nil
}

// logTail is the end of what a child has logged since an offset, for an error message.
func logTail(path string, from int64) string {
	b, err := os.ReadFile(path)
	if err != nil || int64(len(b)) <= from {
		return "it logged nothing"
	}
	return "the end of " + path + ":\n" + tail(string(b[from:]), 2000)
}
