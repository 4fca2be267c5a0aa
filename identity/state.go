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

	fs    vfs.FS
	path  string
	extra map[string]json.RawMessage // members of a newer version, kept
}

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

// check reports the first rule that the state breaks.
func (s *State) check() error {
	if !uuid.MatchString(s.StorageID) {
		return fmt.Errorf("storage id %.60q is no UUID", s.StorageID)
	}
	if len(s.Epochs) == 0 {
		return errors.New("the epoch history is empty")
	}
	for i, e := range s.Epochs {
		switch {
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
