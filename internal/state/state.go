package state

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A State is the content of one state file. It is for one goroutine at a time; an unchanged value may be
// read by many.
type State struct {
	// StorageID is the same in all copies of a database: a UUID in text form.
	StorageID string
	// Epochs is the history of primaries, oldest first, never empty.
	Epochs []protocol.Epoch
	// GeneratedID says that the id was made for a copy, because what it is a copy of has none: its primary is a zc.zrs.
	GeneratedID bool

	// Node is the id of this copy, a UUID that no other copy has. Empty in files of older versions.
	Node string
	// Was is the Node of the copy that this one was made of, when the file was found to be a copy and nobody has said
	// yet what that means: see "Copies" in the package comment. Such a node does not lead. Role, Follow, Successor and
	// Frozen are then those of the original.
	Was string
	// Role is what this node was made by a promotion, a demotion or a rewind. It wins over the command line.
	// Empty: none of these has happened.
	Role Role
	// Follow are the addresses at which a node looks for its primary, beside those of its command line.
	Follow []string
	// MaxEpochSeen is the highest epoch that this node has heard of or voted for: it never again follows, or acts as,
	// the primary of a lower one. 0: none but those in Epochs.
	MaxEpochSeen uint64
	// MaxEpochBegun is the highest epoch that is known to have begun elsewhere, where Epochs does not have it yet. 0:
	// there is none. What was only voted for is in MaxEpochSeen, and may come to nothing.
	MaxEpochBegun uint64
	// VotedFor is the Node that got the vote. Empty: the epoch was only heard of.
	VotedFor string
	// Rival is the Node of another primary that has begun an epoch of the same number as the last one here, and goes
	// before this node, which takes no transactions until that is settled. Empty: there is none.
	Rival string
	// Successor is the Node of the secondary to which this node, then primary, has handed epoch MaxEpochSeen over.
	Successor string
	// ExternalHistory says that transactions of this copy came over the protocol of zc.zrs, or with a file that was
	// copied: their extensions may be pickled in another way, so the chain of digests proves nothing about them.
	ExternalHistory bool
	// Rewind is a rewind that was begun and must be finished before the storage is used. Nil: there is none.
	Rewind *Rewind
	// Waits says what clients of this node, as primary, were told only when enough secondaries had it. Nil: nothing is
	// known of that.
	Waits *Waits
	// SetAside are the last rewinds that the node did by itself, oldest first.
	SetAside []SetAside
	// Reseeds are the last times when the data file was set aside as a whole, oldest first.
	Reseeds []Reseed
	// Frozen says that a primary takes no transactions until it is thawed.
	Frozen bool
	// ApplyUntil is the last transaction that readers of this secondary get to see; 0: nothing holds it there.
	ApplyUntil zodb.Tid
	// Learner says that this copy may lack transactions that a node at its place has acknowledged: it was begun anew,
	// or from older files. Its vote does not count before it has caught up with a primary.
	Learner bool
	// Chain is what is kept of the digests over the history. It may be behind the file.
	Chain Chain

	// Copied says that the file was found to be another one than it was written as, when it was read. It is not
	// written.
	Copied bool

	fs    vfs.FS
	path  string
	inode uint64                     // the number of the file in which it was written, 0 where disks have none
	born  int64                      // when that file was made, in nanoseconds, 0 where disks do not say
	at    fs.FileInfo                // of that file, as it was when it was written or read
	extra map[string]json.RawMessage // members of a newer version, kept
}

// A Rewind is how a storage loses transactions that its primary never had: see package rewind.
type Rewind struct {
	Last   zodb.Tid         `json:"last"`            // the last transaction that stays, 0 for none
	First  zodb.Tid         `json:"first"`           // the first one that goes
	Until  zodb.Tid         `json:"until"`           // the last one that goes
	Follow []string         `json:"follow"`          // the primary's addresses
	Epochs []protocol.Epoch `json:"epochs"`          // the history of primaries up to Last
	Nth    int              `json:"nth,omitempty"`   // which of the fragments that begin with First; 0 and 1: the first
	Begun  uint64           `json:"begun,omitempty"` // the primary's epoch; 0: not noted
	// Why is the reason for which the node rewinds itself. Empty: an operator asked for it.
	Why string `json:"why,omitempty"`
}

// A SetAside is a rewind that the node did by itself.
type SetAside struct {
	First zodb.Tid `json:"first"` // the first transaction that went
	Until zodb.Tid `json:"until"` // the last one
	Last  zodb.Tid `json:"last"`  // the last one that stayed
	File  string   `json:"file"`  // where they lie
	At    string   `json:"at"`    // when it was done, RFC 3339 in UTC
	Why   string   `json:"why"`   // why nobody was asked
}

// maxSetAside is how many rewindings are remembered.
const maxSetAside = 8

// Remember notes a rewind that the node did by itself.
func (s *State) Remember(a SetAside) {
	list := append(slices.Clone(s.SetAside), a)
	s.SetAside = list[max(0, len(list)-maxSetAside):]
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

// Own reports whether the last epoch was begun by this node: only this node leads it. In a file of an older version the
// epoch has no node; then it counts as own.
func (s *State) Own() bool {
	by := s.Epoch().Node
	return s.Was == "" && (by == "" || by == s.Node)
}

// BeginEpoch begins an epoch of this node. Epochs that began after its beginning are forgotten: the file has nothing of
// them any more.
func (s *State) BeginEpoch(e protocol.Epoch) {
	e.Node = s.Node
	for len(s.Epochs) > 0 && s.Epoch().Begin > e.Begin {
		s.Epochs = s.Epochs[:len(s.Epochs)-1]
	}
	s.Epochs = append(s.Epochs, e)
	for i := range s.Epochs[:max(0, len(s.Epochs)-epochsWithVoters)] {
		s.Epochs[i].Voters = nil
	}
	s.MaxEpochSeen, s.VotedFor, s.MaxEpochBegun, s.Was, s.Rival, s.Successor = e.Number, s.Node, 0, "", "", ""
	s.Learner, s.ApplyUntil = false, 0
}

// epochsWithVoters is of how many epochs the voters are kept. A former primary that was away for longer waits for a
// person.
const epochsWithVoters = 16

// Restore makes a copy the node again that it was made of.
func (s *State) Restore() {
	if s.Was != "" {
		s.Node, s.Was = s.Was, ""
	}
}

// Renew makes the storage a database of its own: what is in the file is the beginning of another history now.
func (s *State) Renew() {
	*s = State{
		StorageID: newID(), Node: newID(), ExternalHistory: s.ExternalHistory, Chain: s.Chain, Copied: s.Copied,
		fs: s.fs, path: s.path, extra: s.extra,
	}
	s.Epochs = []protocol.Epoch{{Number: 1, Node: s.Node}}
}

// Highest returns the number of the highest epoch that this node knows of.
func (s *State) Highest() uint64 { return max(s.Latest(), s.MaxEpochSeen) }

// Latest returns the number of the highest epoch that is known to have begun.
func (s *State) Latest() uint64 { return max(s.Epoch().Number, s.MaxEpochBegun) }

// Path returns the path of the state file.
func (s *State) Path() string { return s.path }

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func isNoUUID(s string) bool { return !uuid.MatchString(s) }

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
	case s.Role != "" && s.Role != RolePrimary && s.Role != RoleSecondary:
		return fmt.Errorf("role %.60q is not known", s.Role)
	case len(s.Follow) > maxFollow:
		return fmt.Errorf("%d addresses to follow, at most %d are kept", len(s.Follow), maxFollow)
	}
	for _, node := range []string{s.Node, s.Was, s.VotedFor, s.Rival, s.Successor} {
		if node != "" && !uuid.MatchString(node) {
			return fmt.Errorf("node id %.60q is no UUID", node)
		}
	}
	for _, addr := range s.Follow {
		if len(addr) > maxAddress {
			return fmt.Errorf("address %.60q… is longer than %d bytes", addr, maxAddress)
		}
	}
	if err := s.checkRewind(); err != nil {
		return err
	}
	if err := s.Waits.check(); err != nil {
		return err
	}
	if len(s.SetAside) > maxSetAside {
		return fmt.Errorf("%d rewinds are recorded, the limit is %d", len(s.SetAside), maxSetAside)
	}
	if err := s.checkReseeds(); err != nil {
		return err
	}
	if err := s.Chain.check(); err != nil {
		return err
	}
	return checkEpochs(s.Epochs)
}

func (s *State) checkRewind() error {
	r := s.Rewind
	switch {
	case r == nil:
		return nil
	case r.First <= r.Last || r.Until < r.First:
		return fmt.Errorf("a rewind to %v removes %v to %v", r.Last, r.First, r.Until)
	case len(r.Follow) == 0 || len(r.Follow) > maxFollow:
		return fmt.Errorf("a rewind has %d addresses to follow", len(r.Follow))
	}
	return checkEpochs(r.Epochs)
}

// checkEpochs does so for the history of primaries.
func checkEpochs(epochs []protocol.Epoch) error {
	if len(epochs) == 0 {
		return errors.New("the epoch history is empty")
	}
	for i, e := range epochs {
		switch {
		case len(e.By) > maxSaid || len(e.At) > maxSaid:
			return fmt.Errorf("the start of epoch %d takes more than %d bytes", e.Number, maxSaid)
		case e.Node != "" && !uuid.MatchString(e.Node):
			return fmt.Errorf("node id %.60q of epoch %d is no UUID", e.Node, e.Number)
		case len(e.Voters) > protocol.MaxVoters || slices.ContainsFunc(e.Voters, isNoUUID):
			return fmt.Errorf("epoch %d names %d voters; at most %d can be there, each by a UUID", e.Number,
				len(e.Voters), protocol.MaxVoters)
		case e.Number == 0:
			return errors.New("an epoch has the number 0")
		case i > 0 && e.Number <= epochs[i-1].Number:
			return fmt.Errorf("epoch %d follows epoch %d", e.Number, epochs[i-1].Number)
		case i > 0 && e.Begin < epochs[i-1].Begin:
			return fmt.Errorf("epoch %d begins at %v, before the epoch before it", e.Number, e.Begin)
		}
	}
	return nil
}

// MaxStep is by how much the number of an epoch may be above the highest one that a node knows of. Each promotion makes
// it rise by one or a few, so that no node that was away for years meets more. Without a bound one message with the
// last number that there is would leave none for any promotion to come.
const MaxStep = 1 << 20

// A stepError says that the number of an epoch is too high to be true.
type stepError struct{ number, known uint64 }

func (e *stepError) Error() string {
	return fmt.Sprintf(
		"epoch %d is not plausible: the highest known one is %d, and promotions skip at most %d; the number is "+
			"ignored",
		e.number,
		e.known,
		MaxStep,
	)
}

// Believe returns a *stepError when the number of an epoch is too high to be true for a node that knows of known.
func Believe(number, known uint64) error {
	if number > known && number-known > MaxStep {
		return &stepError{number, known}
	}
	return nil
}
