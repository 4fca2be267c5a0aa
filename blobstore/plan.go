package blobstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// planName is that of the plan of a removal. ZODB's own is .removed; it does not count as a plan, because ZODB leaves
// it there when a pack fails.
//
//	plan      keep LF line*          or rest LF line*, or remove LF line*
//	line      oid(16) tid(16) LF     hexadecimal
const planName = ".removed.zrsd"

const (
	planKeep   = "keep"
	planRest   = "rest" // as keep, once all that was kept is in the directory with .old
	planRemove = "remove"
	planLine   = 32 // without the newline
)

// PlanRemoval notes durably which revisions FinishRemoval is to remove, or with keepOld to move to the directory with
// .old. What an earlier pack has left in that directory is removed at once; what an earlier plan could not do is a part
// of this one.
func (s *Store) PlanRemoval(revisions iter.Seq2[zodb.Oid, zodb.Tid], keepOld bool) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	left, err := s.readPlan()
	if errors.Is(err, fs.ErrNotExist) {
		left, err = &plan{}, nil
	}
	if err == nil {
		err = removeTree(s.fs, s.dir+oldSuffix)
	}
	if err == nil {
		err = s.writePlan(join(left.all(), revisions), planFor(keepOld))
	}
	if err != nil {
		return fmt.Errorf("plan the removal of blobs from %s: %w", s.dir, err)
	}
	return nil
}

// CancelRemoval drops the plan, if there is one.
func (s *Store) CancelRemoval() error {
	err := s.fs.Remove(filepath.Join(s.dir, planName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	return err
}

func planFor(keepOld bool) (head string) {
	if keepOld {
		return planKeep
	}
	return planRemove
}

// writePlan writes a plan that is whole, also after a crash.
func (s *Store) writePlan(revisions iter.Seq2[zodb.Oid, zodb.Tid], head string) error {
	return vfs.WriteFileAtomic(s.fs, filepath.Join(s.dir, planName), ".tmp", func(f vfs.File) error {
		out := bufio.NewWriter(io.NewOffsetWriter(f, 0))
		_, err := fmt.Fprintln(out, head)
		for oid, tid := range revisions {
			if err == nil {
				_, err = fmt.Fprintf(out, "%v%v\n", oid, tid)
			}
		}
		return errors.Join(err, out.Flush())
	})
}

// A plan is what was planned.
type plan struct {
	head      string
	revisions []revision
}

type revision struct {
	oid zodb.Oid
	tid zodb.Tid
}

// all yields what a plan has.
func (p *plan) all() iter.Seq2[zodb.Oid, zodb.Tid] {
	return func(yield func(zodb.Oid, zodb.Tid) bool) {
		for _, r := range p.revisions {
			if !yield(r.oid, r.tid) {
				return
			}
		}
	}
}

// join yields what one yields, and then the other.
func join(a, b iter.Seq2[zodb.Oid, zodb.Tid]) iter.Seq2[zodb.Oid, zodb.Tid] {
	return func(yield func(zodb.Oid, zodb.Tid) bool) {
		more := true
		for _, list := range []iter.Seq2[zodb.Oid, zodb.Tid]{a, b} {
			for oid, tid := range list {
				if more = more && yield(oid, tid); !more {
					return
				}
			}
		}
	}
}

// readPlan reads the plan; fs.ErrNotExist when there is none.
func (s *Store) readPlan() (*plan, error) {
	path := filepath.Join(s.dir, planName)
	f, err := vfs.OpenPlain(s.fs, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, math.MaxInt64))
	lines.Scan()
	p := &plan{head: lines.Text()}
	if p.head != planKeep && p.head != planRest && p.head != planRemove {
		return nil, fmt.Errorf("%s begins with %.20q, which is not a known operation: remove it, then look for "+
			"blobs without a record with zrsd check --blobs", path, p.head)
	}
	for lines.Scan() {
		r, err := parseLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%s: %w: remove it, and look for blobs without a record with zrsd check --blobs",
				path, err)
		}
		p.revisions = append(p.revisions, r)
	}
	return p, lines.Err()
}

func parseLine(line string) (r revision, err error) {
	if len(line) != planLine {
		return r, fmt.Errorf("line %.40q is not an oid and a tid", line)
	}
	if r.oid, err = zodb.ParseOid(line[:planLine/2]); err == nil {
		r.tid, err = zodb.ParseTid(line[planLine/2:])
	}
	return r, err
}
