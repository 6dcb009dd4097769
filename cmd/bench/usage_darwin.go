package main

import (
	"syscall"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// watchPeak takes the high-water mark that the kernel leaves at the end of the process, and of what it waited for: the
// guard of deploy/local stands between.
func watchPeak(p *local.Program) func() uint64 {
	return func() uint64 {
		if used, ok := p.State().SysUsage().(*syscall.Rusage); ok {
			return uint64(used.Maxrss) // bytes here, and not KiB as on Linux
		}
		return 0
	}
}
