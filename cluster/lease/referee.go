package referee

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

var (
	// ErrTaken says for certain that an office was not taken, because it is held or the record is another one.
	ErrTaken = errors.New("the office is held, or somebody else has taken an epoch")
	// ErrLost says that a tenure is over: somebody may have taken the office since.
	ErrLost = errors.New("the office is lost: it was not renewed in time")
)

// A Referee keeps the office of one storage. It is safe for concurrent use. Every call ends when its context does, and
// then, as after any error but ErrTaken and ErrLost, what was asked for may have happened or not.
//
// A backend guarantees, also when its own servers fail and change:
//
//   - Acquire and Renew are one step each, and all steps happen in one order that no caller ever sees undone.
//   - An office stays with its holder for at least the TTL after the call of Acquire or Renew that succeeded, by a
//     clock that is not set. It becomes vacant at some time after that, or with Resign.
//   - A Read after a step that succeeded shows that step or what followed it. Revisions rise with each step.
type Referee interface {
	// Read returns the state as soon as its revision is another than the given one; with 0: at once.
	Read(ctx context.Context, other int64) (View, error)
	// Acquire takes the office and replaces the record, if the office is vacant and the record is the one that was
	// seen. Otherwise it changes nothing and returns ErrTaken.
	Acquire(ctx context.Context, seen Record, claim Claim) (Tenure, error)
	// Publish replaces the standing of a member, which vanishes when it is not published again within the TTL.
	Publish(ctx context.Context, standing Standing, ttl time.Duration) error
	// Maintain begins or ends maintenance.
	Maintain(ctx context.Context, m Maintenance) error
	// Close gives up what the referee holds open. An office that is held stays so until its lease ends.
	Close() error
}

// A Tenure is an office that was acquired. It is for one goroutine at a time.
type Tenure interface {
	// Renew keeps the office for another TTL and replaces the record; it returns ErrLost when the office is not, or
	// not without interruption, the caller's.
	Renew(ctx context.Context, claim Claim) error
	// Resign makes the office vacant, if it is still the caller's. The record stays.
	Resign(ctx context.Context) error
}

// A Claim is what the holder of an office says with each renewal.
type Claim struct {
	Record Record
	Holder Standing
	TTL    time.Duration // backends may round it up
}

// A Record is what stays when an office becomes vacant. The zero Record is that of a referee that knows nothing.
type Record struct {
	Number uint64 `json:"number"` // the highest epoch number that was given out
	Node   string `json:"node"`   // the id of the node that it was given to
	Begun  uint64 `json:"begun"`  // the highest epoch whose primary may have told anybody of a commit

	Tid zodb.Tid `json:"tid"` // the last durable one of that primary, as of the last renewal
}

// A Standing is what a member says about itself.
type Standing struct {
	Node        string    `json:"node"` // the id of this copy of the storage
	Name        string    `json:"name"` // for people
	Epoch       uint64    `json:"epoch"`
	Heard       uint64    `json:"heard"` // the highest epoch number that it knows to be given out; not below Epoch
	Tid         zodb.Tid  `json:"tid"`   // the last that is durable
	Leads       bool      `json:"leads"`
	Able        bool      `json:"able"`            // it could lead
	Why         string    `json:"why,omitempty"`   // it is not able
	Ails        string    `json:"ails,omitempty"`  // it leads, and takes no transactions: why
	Needs       int       `json:"needs,omitempty"` // how many others must be able before one may take its place
	Cedes       zodb.Tid  `json:"cedes,omitempty"` // and one of them has to have this transaction
	Full        bool      `json:"full,omitempty"`  // it ails because its disk is full: those others need room
	Room        bool      `json:"room,omitempty"`  // its own disk is not nearly full
	Replication string    `json:"replication"`     // where secondaries find it
	Admin       string    `json:"admin,omitempty"`
	Time        time.Time `json:"time"` // for people; nothing is concluded from it
}

// Further reports whether s has more of the history than o, or as much and more room, or the lower id: of two members
// that are not the same exactly one is further.
func (s Standing) Further(o Standing) bool {
	switch {
	case s.Epoch != o.Epoch:
		return s.Epoch > o.Epoch
	case s.Tid != o.Tid:
		return s.Tid > o.Tid
	case s.Room != o.Room:
		return s.Room
	}
	return s.Node < o.Node
}

// Maintenance is a time in which nobody is promoted or demoted.
type Maintenance struct {
	On   bool      `json:"on"`
	By   string    `json:"by,omitempty"`
	Why  string    `json:"why,omitempty"`
	Time time.Time `json:"time,omitzero"`
}

// A View is the state of a referee at one moment.
type View struct {
	Revision    int64
	Record      Record
	Holder      *Standing // of the office, as of its last renewal; nil: vacant
	Members     []Member  // that are live, by id
	Maintenance Maintenance
}

// A Member is a standing with the revision that its publication made.
type Member struct {
	Standing
	Revision int64
}
