package state

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A Reseed is that the data file of a copy, whatever there was of it, was set aside as a whole, and that the copy takes
// everything anew from its primary: see package reseed.
type Reseed struct {
	Why   string   `json:"why"`            // one of the reasons below
	Text  string   `json:"text"`           // what was found
	Had   zodb.Tid `json:"had"`            // the last transaction that the node is known to have had; 0: unknown
	Aside string   `json:"aside"`          // what the names of all that is set aside have at the end
	At    string   `json:"at"`             // when it was begun, RFC 3339 in UTC
	Auto  bool     `json:"auto,omitempty"` // without an operator
	Done  bool     `json:"done,omitempty"` // all is set aside
}

// The reasons for a reseed.
const (
	ReseedMissing = "missing" // there is no Data.fs, and the state file knows of transactions
	ReseedDamaged = "damaged" // it cannot be opened
	ReseedHistory = "history" // it is of another history, and nothing is lost with that
	ReseedOrder   = "ordered" // an operator wants it
)

// BeginReseed makes the node a copy that has nothing: another node than before, because nobody may count on it for what
// that one has acknowledged. What it has voted for stays: it never follows the primary of a lower epoch.
func (s *State) BeginReseed(r Reseed) {
	s.BecomeSecondary()
	s.Node, s.Was, s.Successor, s.Rival, s.VotedFor = newID(), "", "", "", ""
	s.Rewind, s.Waits, s.Chain, s.ExternalHistory, s.Learner = nil, nil, Chain{}, false, true
	list := append(slices.Clone(s.Reseeds), r)
	s.Reseeds = list[max(0, len(list)-maxSetAside):]
}

// Reseeding returns the reseed that was begun and has not set everything aside yet; nil: there is none.
func (s *State) Reseeding() *Reseed {
	if n := len(s.Reseeds); n > 0 && !s.Reseeds[n-1].Done {
		return &s.Reseeds[n-1]
	}
	return nil
}

// EndReseed notes that everything is set aside. What was noted of the file meanwhile, by a session that ended, goes.
func (s *State) EndReseed() {
	s.Reseeds = slices.Clone(s.Reseeds)
	s.Reseeds[len(s.Reseeds)-1].Done = true
	s.Chain, s.Learner = Chain{}, true
}

// ReseedAgain is how long after a reseed that a node began by itself the next one needs an operator. A disk, or a
// machine, that damages each copy would otherwise fill itself with what it has set aside.
const ReseedAgain = 24 * time.Hour

// MayReseed says why the node must not begin a reseed by itself now; nil: it may.
func (s *State) MayReseed(now time.Time) error {
	if len(s.Reseeds) == 0 {
		return nil
	}
	last := s.Reseeds[len(s.Reseeds)-1]
	if s.Learner {
		return fmt.Errorf("this node was to be seeded anew at %s already (%s), and has not caught up with a primary "+
			"since: look why, at its disk first", last.At, last.Why)
	}
	for _, r := range s.Reseeds {
		at, err := time.Parse(time.RFC3339, r.At)
		if r.Auto && (err != nil || now.Sub(at) < ReseedAgain) {
			return fmt.Errorf("this node was seeded anew by itself at %s already (%s): look why it happens again, at "+
				"its disk first", r.At, r.Why)
		}
	}
	return nil
}

var asideName = regexp.MustCompile(`^aside-[0-9TZ]{16}-[a-z]+(-[0-9]+)?$`)

// checkReseeds reports the first rule that the list breaks. Names of files are made of it.
func (s *State) checkReseeds() error {
	if len(s.Reseeds) > maxSetAside {
		return fmt.Errorf("%d reseeds are recorded, the limit is %d", len(s.Reseeds), maxSetAside)
	}
	for _, r := range s.Reseeds {
		if !asideName.MatchString(r.Aside) {
			return fmt.Errorf("a reseed sets aside under the name %.60q", r.Aside)
		}
	}
	return nil
}
