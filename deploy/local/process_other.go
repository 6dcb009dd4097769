//go:build !linux

package local

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// bind ties a child's life to this process where the kernel does not offer to: the child is run by a guard (this binary again), which ends it when the pipe from us does.
//
// A child that is stopped (Pause) while we are killed stays until somebody continues it: its guard is stopped with it.
func bind(cmd *exec.Cmd) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	cmd.Args = append([]string{self, guardCommand, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return nil
}

// signal reaches the guard and what it guards: they are one group.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.gone:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-p.pid(), sig)
	}
}
