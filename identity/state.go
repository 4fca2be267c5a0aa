package identity

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/vfs"
)

// A State is the content of one state file. It is for one goroutine at a time; a value that nobody changes may be
// read by many.
type State struct {
	// StorageID is the same in all copies of a database: a UUID in text form.
	StorageID string
	// Epochs is the history of primaries, oldest first, never empty.
	Epochs []protocol.Epoch
	// Unnamed says that the id was made for a copy, because what it is a copy of has none: its primary is a zc.zrs.
	Unnamed bool

	// Node is the id of this copy, a UUID that no other copy has. Empty in files of older versions.
	Node string
	// Role is what this node was made by a promotion, a demotion or a rewind. It wins over what the node is told at
	// its start. Empty: nothing of the kind has happened.
	Role Role
	// Follow are the addresses at which a node looks for its primary, beside those it is told at its start.
	Follow []string
	// Promised is the highest epoch that this node has heard of or promised to: it never again follows, or acts as,
	// the primary of a lower one. 0: none but those in Epochs.
	Promised uint64
	// HandedTo is the Node of the secondary to which this node, then primary, has handed epoch Promised over.
	HandedTo string
	// Frozen says that a primary takes no transactions until it is thawed.
	Frozen bool

	// Copied says that the file was found to be a copy of another node's. It is not written.
	Copied bool

	fs    vfs.FS
	path  string
	place uint64                     // the number of the file in which it was written, 0 where disks have none
	extra map[string]json.RawMessage // members of a newer version, kept
}

// A Role is what a node was made.
type Role string

// The roles.
const (
	RolePrimary   Role = "primary"
	RoleSecondary Role = "secondary"
)

// Epoch returns the last epoch.
func (s *State) Epoch() protocol.Epoch { return s.Epochs[len(s.Epochs)-1] }

// Highest returns the number of the highest epoch that this node knows of.
func (s *State) Highest() uint64 { return max(s.Epoch().Number, s.Promised) }

// Path returns the path of the state file.
func (s *State) Path() string { return s.path }

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// newID returns a random UUID: version 4, variant 10.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process where the system has no randomness
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Bounds of a state.
const (
	maxFollow  = 64
	maxAddress = 300 // bytes
	maxSaid    = 300 // bytes of what an epoch says of its beginning
)

// check reports the first rule that the state breaks.
func (s *State) check() error {
	switch {
	case !uuid.MatchString(s.StorageID):
		return fmt.Errorf("storage id %.60q is no UUID", s.StorageID)
	case s.Node != "" && !uuid.MatchString(s.Node):
		return fmt.Errorf("node id %.60q is no UUID", s.Node)
	case s.HandedTo != "" && !uuid.MatchString(s.HandedTo):
		return fmt.Errorf("node id %.60q is no UUID", s.HandedTo)
	case s.Role != "" && s.Role != RolePrimary && s.Role != RoleSecondary:
		return fmt.Errorf("role %.60q is not known", s.Role)
	case len(s.Follow) > maxFollow:
		return fmt.Errorf("%d addresses to follow, at most %d are kept", len(s.Follow), maxFollow)
	}
	for _, addr := range s.Follow {
		if len(addr) > maxAddress {
			return fmt.Errorf("address %.60q… is longer than %d bytes", addr, maxAddress)
		}
	}
	return s.checkEpochs()
}

// checkEpochs does so for the history of primaries.
func (s *State) checkEpochs() error {
	if len(s.Epochs) == 0 {
		return errors.New("the epoch history is empty")
	}
	for i, e := range s.Epochs {
		switch {
		case len(e.By) > maxSaid || len(e.At) > maxSaid:
			return fmt.Errorf("epoch %d says more than %d bytes of its beginning", e.Number, maxSaid)
		case e.Number == 0:
			return errors.New("an epoch has the number 0")
		case i > 0 && e.Number <= s.Epochs[i-1].Number:
			return fmt.Errorf("epoch %d follows epoch %d", e.Number, s.Epochs[i-1].Number)
		case i > 0 && e.Begin < s.Epochs[i-1].Begin:
			return fmt.Errorf("epoch %d begins at %v, before the epoch that it follows", e.Number, e.Begin)
		}
	}
	return nil
}
