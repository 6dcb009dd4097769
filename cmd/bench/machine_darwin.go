package main

import "golang.org/x/sys/unix"

func hardware() (m machine, err error) {
	if m.cpu, err = unix.Sysctl("machdep.cpu.brand_string"); err != nil {
		return m, err
	}
	m.memory, err = unix.SysctlUint64("hw.memsize")
	return m, err
}
