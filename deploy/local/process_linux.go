package local

import (
	"os/exec"
	"syscall"
)

// bind ties a child's life to this process: the kernel kills it when we die, even while it is stopped.
//
// Its own process group keeps a Ctrl-C on the terminal from reaching it before we have decided what to do.
func bind(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return nil
}

// signal reaches the child; os.Process makes sure that it is not another with the same number.
func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }
