package simdisk

import (
	"errors"
	"fmt"
)

// ErrPowerLoss is what every operation returns once the power is off.
var ErrPowerLoss = errors.New("simulated power loss")

// ErrKilled is what every operation that changes something returns to a process that was killed.
var ErrKilled = errors.New("simulated kill")

// A Kind is what an operation does.
type Kind string

// The kinds of operations that are numbered and can fail.
const (
	Create   Kind = "create"
	Write    Kind = "write"
	Truncate Kind = "truncate"
	Sync     Kind = "sync"
	Mkdir    Kind = "mkdir"
	Rename   Kind = "rename"
	Link     Kind = "link"
	Remove   Kind = "remove"
	Chmod    Kind = "chmod"
	SyncDir  Kind = "syncdir"
	SyncAll  Kind = "syncall"
)

// An Op is one operation that changes something, or makes it durable.
type Op struct {
	Kind Kind
	Path string
	To   string // the new name of a rename or link
	Off  int64  // of a write; the size of a truncation
	Len  int    // of a write
}

// String returns the form that golden traces have.
func (o Op) String() string {
	switch o.Kind {
	case Write:
		return fmt.Sprintf("%s %s %d+%d", o.Kind, o.Path, o.Off, o.Len)
	case Truncate:
		return fmt.Sprintf("%s %s %d", o.Kind, o.Path, o.Off)
	case Rename, Link:
		return fmt.Sprintf("%s %s %s", o.Kind, o.Path, o.To)
	}
	return fmt.Sprintf("%s %s", o.Kind, o.Path)
}

// A tornError is what a rule returns to let the first Written bytes of a write reach the file; the write then fails
// with Err.
type tornError struct {
	written int
	err     error
}

func (t *tornError) Error() string {
	return fmt.Sprintf("write torn after %d bytes: %v", t.written, t.err)
}

// Unwrap returns Err.
func (t *tornError) Unwrap() error { return t.err }

// FailAt makes operation n, counted from 1, fail with err and have no effect.
func (d *Disk) FailAt(n int, err error) {
	d.FailWhen(func(Op) error {
		if len(d.ops) == n {
			return err
		}
		return nil
	})
}

// FailWhen adds a rule: an operation for which it returns an error fails with it and has no effect, but see
// tornError. The rule is called with the disk locked, after the operation has been numbered.
func (d *Disk) FailWhen(rule func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, rule)
}

// Heal removes all rules and the limit on capacity.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules, d.capacity = nil, 0
}

// PowerOffAt turns the power off before operation n: it and everything after it fail with ErrPowerLoss, reads included.
func (d *Disk) PowerOffAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offAt = n
}

// KillAt kills the process before operation n: it and everything after it that changes something fail with ErrKilled
// and have no effect, until Revive. What was written and not synced stays as it is: the system still has it.
func (d *Disk) KillAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killAt = n
}

// Revive lets another process use the disk after a kill.
func (d *Disk) Revive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killAt = 0
	clear(d.locks)
}

// SetCapacity limits the bytes in all files together. A write beyond it is cut short and fails with ENOSPC. 0: no
// limit.
func (d *Disk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// Free returns what SetCapacity leaves; without a limit more than any test needs.
func (d *Disk) Free(string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity == 0 {
		return 1 << 62, nil
	}
	return max(d.capacity-used(d.root, map[*node]bool{}), 0), nil
}

// Evict takes all clean pages out of memory. What a failed sync left clean is then what the disk has.
func (d *Disk) Evict() {
	d.mu.Lock()
	defer d.mu.Unlock()
	each(d.root, map[*node]bool{}, func(n *node) {
		if !n.isDir() {
			n.evict()
		}
	})
}

// Ops returns the operations so far, those that failed included.
func (d *Disk) Ops() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Op(nil), d.ops...)
}

// begin numbers an operation and decides whether it fails.
func (d *Disk) begin(op Op) error {
	if err := d.power(); err != nil {
		return err
	}
	if d.offAt > 0 && len(d.ops)+1 >= d.offAt {
		d.off = true
		return ErrPowerLoss
	}
	if d.killAt > 0 && len(d.ops)+1 >= d.killAt {
		return ErrKilled
	}
	d.ops = append(d.ops, op)
	for _, rule := range d.rules {
		if err := rule(op); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) power() error {
	if d.off {
		return ErrPowerLoss
	}
	return nil
}
