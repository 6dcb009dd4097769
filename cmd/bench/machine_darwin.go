package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func hardware() (m machine, err error) {
	if m.cpu, err = unix.Sysctl("machdep.cpu.brand_string"); err != nil {
		return m, err
	}
	m.memory, err = unix.SysctlUint64("hw.memsize")
	return m, err
}

// uncache cannot be had here: cold is then only as cold as ClickHouse's own caches.
func uncache(*os.File) error { return nil }
