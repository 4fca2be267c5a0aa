package lease

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

var (
	// ErrTaken says for certain that the lease was not taken, because it is held or the record is another one.
	ErrTaken = errors.New("another node holds the lease, or has taken an epoch")
	// ErrLost says that the lease is over: another node may have acquired it since.
	ErrLost = errors.New("the lease is lost: it was not renewed in time")
)

// A Coordinator keeps the leader lease of one storage. It is safe for concurrent use. Every call ends when its context
// does, and then, as after any error but ErrTaken and ErrLost, what was asked for may have happened or not.
//
// A backend guarantees, also when its own servers fail and change:
//
//   - Acquire and Renew are one step each, and all steps happen in one order that no caller ever sees undone.
//   - A lease stays with its holder for at least the TTL after the call of Acquire or Renew that succeeded, by a
//     clock that is not set. It becomes vacant at some time after that, or with Resign.
//   - A Read after a step that succeeded shows that step or what followed it. Revisions rise with each step.
type Coordinator interface {
	// Read returns the state as soon as its revision is another than the given one; with 0: at once.
	Read(ctx context.Context, other int64) (View, error)
	// Acquire takes the lease and replaces the record, if the lease is vacant and the record is the one that was
	// seen. Otherwise it changes nothing and returns ErrTaken.
	Acquire(ctx context.Context, seen Record, claim Claim) (Lease, error)
	// Publish replaces the status of a member, which vanishes when it is not published again within the TTL.
	Publish(ctx context.Context, status MemberStatus, ttl time.Duration) error
	// Maintain begins or ends maintenance.
	Maintain(ctx context.Context, m Maintenance) error
	// Close gives up what the coordinator holds open. A lease that is held stays so until it runs out.
	Close() error
}

// A Lease is one that was acquired. It is for one goroutine at a time.
type Lease interface {
	// Renew keeps the lease for another TTL and replaces the record; it returns ErrLost when the lease is not, or
	// not without interruption, the caller's.
	Renew(ctx context.Context, claim Claim) error
	// Resign makes the lease vacant, if it is still the caller's. The record stays.
	Resign(ctx context.Context) error
}

// A Claim is what the holder of a lease says with each renewal.
type Claim struct {
	Record Record
	Holder MemberStatus
	TTL    time.Duration // backends may round it up
}

// A Record is what stays when a lease becomes vacant. The zero Record is that of a coordinator that knows nothing.
type Record struct {
	Number uint64 `json:"number"` // the highest epoch number that was given out
	Node   string `json:"node"`   // the id of the node that it was given to
	Begun  uint64 `json:"begun"`  // the highest epoch whose primary may have told anybody of a commit

	Tid zodb.Tid `json:"tid"` // the last durable one of that primary, as of the last renewal
}

// A MemberStatus is what a member says about itself. Its JSON is what older versions of zrsd read and write as well.
type MemberStatus struct {
	Node            string    `json:"node"` // the id of this copy of the storage
	Name            string    `json:"name"` // for people
	Epoch           uint64    `json:"epoch"`
	MaxEpochSeen    uint64    `json:"heard"` // the highest epoch number that it knows to be given out; not below Epoch
	Tid             zodb.Tid  `json:"tid"`   // the last that is durable
	IsPrimary       bool      `json:"leads"`
	Eligible        bool      `json:"able"`            // it could lead
	Reason          string    `json:"why,omitempty"`   // it is not able
	Fault           string    `json:"ails,omitempty"`  // it leads, and takes no transactions: why
	NeedsOthers     int       `json:"needs,omitempty"` // how many others must be able before one may take its place
	NeedsTid        zodb.Tid  `json:"cedes,omitempty"` // and one of them has to have this transaction
	DiskFull        bool      `json:"full,omitempty"`  // its fault is a full disk: those others need room
	DiskHasRoom     bool      `json:"room,omitempty"`  // its own disk is not nearly full
	ReplicationAddr string    `json:"replication"`     // where secondaries find it
	AdminAddr       string    `json:"admin,omitempty"`
	Time            time.Time `json:"time"` // for people; nothing is concluded from it
}

// isAheadOf reports whether s has more of the history than o, or as much and more room, or the lower id: of two members
// that are not the same exactly one is ahead.
func (s MemberStatus) isAheadOf(o MemberStatus) bool {
	switch {
	case s.Epoch != o.Epoch:
		return s.Epoch > o.Epoch
	case s.Tid != o.Tid:
		return s.Tid > o.Tid
	case s.DiskHasRoom != o.DiskHasRoom:
		return s.DiskHasRoom
	}
	return s.Node < o.Node
}

// Maintenance is a time in which no node is promoted or demoted automatically.
type Maintenance struct {
	On   bool      `json:"on"`
	By   string    `json:"by,omitempty"`
	Why  string    `json:"why,omitempty"`
	Time time.Time `json:"time,omitzero"`
}

// A View is the state of a coordinator at one moment.
type View struct {
	Revision    int64
	Record      Record
	Holder      *MemberStatus // of the lease, as of its last renewal; nil: vacant
	Members     []Member      // that are live, by id
	Maintenance Maintenance
}

// A Member is a status with the revision that its publication made.
type Member struct {
	MemberStatus
	Revision int64
}
