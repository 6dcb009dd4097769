package main

import (
	"time"

	"github.com/prometheus/procfs"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// peakInterval is how often the high-water mark is read: what a process takes in its last moments may be missed.
const peakInterval = 50 * time.Millisecond

// watchPeak reads a process's high-water mark of resident memory (VmHWM) while it lives. Not rusage's ru_maxrss at its
// end: Linux starts that with the memory of whoever forked it, which is this program, full of deliveries.
func watchPeak(p *local.Program) func() uint64 {
	peak := make(chan uint64, 1)
	go func() { // ends with the process
		tick := time.NewTicker(peakInterval)
		defer tick.Stop()
		var most uint64
		for {
			if status, err := readStatus(p.PID()); err == nil { // else it is ending
				most = max(most, status.VmHWM)
			}
			select {
			case <-p.Gone():
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		most := <-peak
		peak <- most
		return most
	}
}

func readStatus(pid int) (procfs.ProcStatus, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStatus{}, err
	}
	return proc.NewStatus()
}
