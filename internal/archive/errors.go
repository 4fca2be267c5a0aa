package archive

import (
	"fmt"
	"time"
)

// An OtherWriterError says that another node writes to the archive, and this one does not as long as it does.
type OtherWriterError struct {
	Node    NodeID
	Written time.Time // its last segment
	ID      SegmentID
}

func (e *OtherWriterError) Error() string {
	return fmt.Sprintf("node %v writes to this archive, last %v at %s: this node stops, and goes on where that one is "+
		"silent although there is something to archive", e.Node, e.ID, e.Written.UTC().Format(time.RFC3339))
}

// A NewerError says that another writer has begun a generation.
type NewerError struct{ Generation uint64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("another node has begun generation %d of the archive", e.Generation)
}

// A BehindError says that a node does not have yet what the archive has.
type BehindError struct{ Here, There string }

func (e *BehindError) Error() string {
	return fmt.Sprintf(
		"the archive has transactions up to %s, and this node up to %s: it archives nothing before it has "+
			"them, too",
		e.There,
		e.Here,
	)
}

// A RefusedError says that a node must not write to an archive, and what to do.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }
