package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

const (
	format  = 4
	oldest  = 1       // that is still read
	maxSize = 1 << 20 // bytes of a state file

	sumWord = "sha256:"
	sumLen  = len(sumWord) + 2*sha256.Size + 1 // the last line
)

// The members of the JSON object.
const (
	memberFormat      = "format"
	memberStorage     = "storage"
	memberEpochs      = "epochs"
	memberGeneratedID = "generated_id" // only where it is true

	// Only where they say something.
	memberNode            = "node"
	memberInode           = "inode"
	memberBorn            = "born"
	memberWas             = "was"
	memberRole            = "role"
	memberFollow          = "follow"
	memberMaxEpochSeen    = "max_epoch_seen"
	memberMaxEpochBegun   = "max_epoch_begun"
	memberVotedFor        = "voted_for"
	memberRival           = "rival"
	memberSuccessor       = "successor"
	memberFrozen          = "frozen"
	memberRewind          = "rewind"
	memberExternalHistory = "external_history"
	memberChain           = "chain"
	memberWaits           = "waits"
	memberSetAside        = "set_aside"
	memberLearner         = "learner"
	memberApplyUntil      = "apply_until"
	memberReseeds         = "reseeds"
)

// former are the names of members in formats below 4.
var former = map[string]string{
	memberGeneratedID:     "unnamed_primary",
	memberInode:           "place",
	memberMaxEpochSeen:    "promised",
	memberMaxEpochBegun:   "begun",
	memberVotedFor:        "promised_to",
	memberSuccessor:       "handed_to",
	memberExternalHistory: "foreign",
}

// rename gives members of a file of an older format the names of today.
func rename(members map[string]json.RawMessage) {
	for now, before := range former {
		if value, there := members[before]; there {
			members[now] = value
			delete(members, before)
		}
	}
}

// A VersionError says that a state file is whole, and of a format that this version of zrsd does not know.
type VersionError struct {
	path   string
	format int64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s has format %d, this zrsd knows only %d: it was written by a newer zrsd; run that one",
		e.path, e.format, format)
}

// decode reads the content of a state file. path is for errors only, which are *zodb.CorruptError and *VersionError.
func decode(path string, content []byte) (*State, error) {
	body, err := verify(path, content)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, damaged(path, "a JSON object", err.Error())
	}
	var version int64
	if err := json.Unmarshal(members[memberFormat], &version); err != nil {
		return nil, damaged(path, "a number as "+memberFormat, err.Error())
	}
	if version < oldest || version > format {
		return nil, &VersionError{path: path, format: version}
	}
	if version < format {
		rename(members)
	}
	s := &State{path: path, extra: members}
	for _, one := range s.members() {
		raw, there := members[one.name]
		if !there && one.optional {
			continue
		}
		if err := json.Unmarshal(raw, one.value); err != nil {
			return nil, damaged(path, one.what+" as "+one.name, err.Error())
		}
	}
	if err := s.check(); err != nil {
		return nil, damaged(path, "a state that keeps the rules", err.Error())
	}
	delete(s.extra, memberFormat)
	for _, one := range s.members() {
		delete(s.extra, one.name)
	}
	return s, nil
}

// A member is one of the JSON object.
type member struct {
	name, what string
	value      any  // a pointer to it
	optional   bool // left out where it says nothing
	says       bool
}

// members lists those that a state has, the format apart.
func (s *State) members() []member {
	return []member{
		{memberStorage, "a text", &s.StorageID, false, true},
		{memberEpochs, "a list of epochs", &s.Epochs, false, true},
		{memberGeneratedID, "true or false", &s.GeneratedID, true, s.GeneratedID},
		{memberNode, "a text", &s.Node, true, s.Node != ""},
		{memberInode, "a number", &s.inode, true, s.inode != 0},
		{memberBorn, "a number", &s.born, true, s.born != 0},
		{memberWas, "a text", &s.Was, true, s.Was != ""},
		{memberRole, "a text", &s.Role, true, s.Role != ""},
		{memberFollow, "a list of addresses", &s.Follow, true, len(s.Follow) > 0},
		{memberMaxEpochSeen, "a number", &s.MaxEpochSeen, true, s.MaxEpochSeen != 0},
		{memberMaxEpochBegun, "a number", &s.MaxEpochBegun, true, s.MaxEpochBegun != 0},
		{memberVotedFor, "a text", &s.VotedFor, true, s.VotedFor != ""},
		{memberRival, "a text", &s.Rival, true, s.Rival != ""},
		{memberSuccessor, "a text", &s.Successor, true, s.Successor != ""},
		{memberFrozen, "true or false", &s.Frozen, true, s.Frozen},
		{memberExternalHistory, "true or false", &s.ExternalHistory, true, s.ExternalHistory},
		{memberRewind, "a rewinding", &s.Rewind, true, s.Rewind != nil},
		{memberChain, "a hash chain", &s.Chain, true, len(s.Chain.Checkpoints) > 0},
		{memberWaits, "what commits waited for", &s.Waits, true, s.Waits != nil},
		{memberSetAside, "a list of rewinds", &s.SetAside, true, len(s.SetAside) > 0},
		{memberLearner, "true or false", &s.Learner, true, s.Learner},
		{memberApplyUntil, "a tid", &s.ApplyUntil, true, s.ApplyUntil != 0},
		{memberReseeds, "a list of reseeds", &s.Reseeds, true, len(s.Reseeds) > 0},
	}
}

// verify checks the last line and returns what is before it.
func verify(path string, content []byte) ([]byte, error) {
	if len(content) > maxSize {
		return nil, damaged(path, fmt.Sprintf("at most %d bytes", maxSize), "more")
	}
	if len(content) < sumLen {
		return nil, damaged(path, "a last line with a checksum", fmt.Sprintf("%d bytes in all", len(content)))
	}
	body, last := content[:len(content)-sumLen], content[len(content)-sumLen:]
	if want := sumLine(body); !bytes.Equal(last, want) {
		return nil, damaged(path, "a last line with the checksum of what is before it", "another one")
	}
	return body, nil
}

// A DamagedError says that the content of a state file is not what was written.
type DamagedError struct{ *zodb.CorruptError }

func (e *DamagedError) Error() string {
	return e.CorruptError.Error() + "; restore the state file from a backup of this node, or remove it if this is a " +
		"secondary: it then takes the identity of its primary"
}

func (e *DamagedError) Unwrap() error { return e.CorruptError }

func damaged(path, want, got string) error {
	return &DamagedError{&zodb.CorruptError{File: path, Want: want, Got: got}}
}

// encode returns the content of the state file of s, which must keep the rules.
func encode(s *State) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	members := make(map[string]any, len(s.extra)+3)
	for name, value := range s.extra {
		members[name] = value
	}
	members[memberFormat] = format
	for _, one := range s.members() {
		if one.says {
			members[one.name] = one.value
		}
	}
	body, err := object(members)
	if err != nil {
		return nil, err
	}
	if len(body)+sumLen > maxSize {
		return nil, fmt.Errorf("%d epochs need %d bytes, the limit is %d", len(s.Epochs), len(body)+sumLen, maxSize)
	}
	return append(body, sumLine(body)...), nil
}

func sumLine(body []byte) []byte {
	sum := sha256.Sum256(body)
	return []byte(sumWord + hex.EncodeToString(sum[:]) + "\n")
}

// object returns a JSON object with one member per line, by name. Values are not laid out any further, so that those
// which were kept unread cannot grow.
func object(members map[string]any) ([]byte, error) {
	var lines [][]byte
	for _, name := range slices.Sorted(maps.Keys(members)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(members[name])
		if err != nil {
			return nil, err
		}
		lines = append(lines, slices.Concat([]byte("  "), key, []byte(": "), value))
	}
	return slices.Concat([]byte("{\n"), bytes.Join(lines, []byte(",\n")), []byte("\n}\n")), nil
}

// FormatVersion is the newest format of the state file that this version reads, and the one that it writes.
const FormatVersion = format
