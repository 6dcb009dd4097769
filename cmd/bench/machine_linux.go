package main

import (
	"fmt"
	"os"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

func hardware() (machine, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return machine{}, err
	}
	m := machine{cpu: "unknown"}
	cpus, err := proc.CPUInfo()
	if err != nil {
		return m, err
	}
	if len(cpus) > 0 && cpus[0].ModelName != "" {
		m.cpu = cpus[0].ModelName
	}
	memory, err := proc.Meminfo()
	if err != nil {
		return m, err
	}
	if memory.MemTotalBytes != nil {
		m.memory = *memory.MemTotalBytes
	}
	load, err := proc.LoadAvg()
	if err != nil {
		return m, err
	}
	m.load = fmt.Sprintf("%.2f", load.Load1)
	return m, nil
}

// uncache asks that a file's pages be dropped from memory.
func uncache(f *os.File) error { return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
