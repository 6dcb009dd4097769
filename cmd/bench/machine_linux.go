package main

import (
	"fmt"

	"github.com/prometheus/procfs"
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
