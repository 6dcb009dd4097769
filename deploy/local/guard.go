package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace is how long an engine may take to end by itself. ClickHouse takes 20 ms and Kafka 1–2 s; what takes longer hangs.
const stopGrace = 20 * time.Second

// guard runs a command until it ends or standard input does, which is when the parent has died or asks for an end. It is what stands for Linux's PR_SET_PDEATHSIG elsewhere.
func guard(command []string) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT) // meant for the command, which is in the same group
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { // ends with this process, which ends with the command
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = stdin.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(stopGrace, func() { _ = cmd.Process.Kill() })
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}
