package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// cores are those that a process may use. Empty: all.
type cores []int

// begin calls start, which begins a process, so that this has these cores and counts no others.
func (c cores) begin(start func() error) error {
	if len(c) == 0 {
		return start()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its cores
		set := c.set()
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("restricting a process to the cores %v: %w", []int(c), err)
			return
		}
		done <- start()
	}()
	return <-done
}

func (c cores) set() (set unix.CPUSet) {
	for _, core := range c {
		set.Set(core)
	}
	return set
}

// confine gives these cores to this process until it is let go.
func (c cores) confine() (letGo func() error, err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("asking for the cores of this process: %w", err)
	}
	if len(c) == 0 {
		return func() error { return nil }, nil
	}
	return func() error { return giveAllThreads(before) }, giveAllThreads(c.set())
}

func giveAllThreads(set unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		// A thread may have ended meanwhile.
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("moving a thread to other cores: %w", err)
		}
	}
	return nil
}
