package secondary

import (
	"time"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A State says what a secondary is doing.
type State string

// The states of a secondary.
const (
	StateConnecting State = "connecting"  // for the first time, or again after a wait
	StateSeeding    State = "seeding"     // taking the primary's data file as it is
	StateCatchingUp State = "catching-up" // applying history
	StateLive       State = "live"        // following commits as they happen
	StateWaiting    State = "waiting"     // to connect again
	StateRefused    State = "refused"     // waits for an operator; it is tried now and then whether one has acted
	StateFailed     State = "failed"      // the storage here does not take transactions; it is tried now and then
	StateStopped    State = "stopped"     // Run has ended
)

// A Status is a snapshot of a Secondary. Texts from the primary are fit to be shown.
type Status struct {
	State       State
	Since       time.Time // when it entered State
	Address     string    // in use, or tried last
	PrimaryName string    // how the primary calls itself; empty before the first handshake
	Protocol    string    // of the present connection, or the last one, as it is called on the wire; empty: none yet
	StorageID   string    // empty: not known yet
	Epochs      []protocol.Epoch

	// Connected says that a node has accepted the present connection. IsPrimary: it is the primary itself, not another
	// secondary; UpstreamPath are the ids of the nodes on the way to the primary, nil when that is not known.
	Connected    bool
	IsPrimary    bool
	UpstreamPath []string
	// Roster are the other secondaries of the primary, and this one, as of its last report, and Sync its rule for
	// waiting.
	Roster []protocol.RosterEntry
	Sync   protocol.SyncRule

	PrimaryLast zodb.Tid  // the primary's last transaction, as far as heard; 0: none, or not heard
	PrimarySize int64     // bytes of the primary's file, as last heard
	Heard       time.Time // when the primary was last heard; zero: never
	Applied     zodb.Tid  // the last transaction that readers here see
	Durable     zodb.Tid  // the last transaction that survives a crash here
	Lag         Lag

	// Seed is how far the primary's data file is here that is taken as it is. Nil: none is.
	Seed *Seed
	// SeedFrom says that the nodes of Options.SeedFrom are asked first, and the primary afterwards.
	SeedFrom bool

	LastError     string    // why a connection ended or did not come about; empty once this is live again
	LastErrorTime time.Time // zero: there is none
	// Final is the last error where each address has given one that time does not mend, such as a refusal or another
	// service that listens there. It is tried on, because somebody may mend it. Nil: there is hope.
	Final error

	// Counters, since New.
	Connections  int64                   // that a primary accepted
	Reconnects   int64                   // those of them that followed one that was lost
	Bytes        int64                   // received on replication streams
	Transactions int64                   // applied
	DigestErrors int64                   // connections that ended because what arrived was not what was sent
	Refusals     map[protocol.Code]int64 // got from primaries
}

// A Seed is how far a connection is that takes the primary's data file as it is.
type Seed struct {
	Done  int64 // bytes that are durable here, since the connection began
	Total int64 // bytes that there were to get then
	Begun time.Time
}

// A Lag is how far the secondary is behind: zero in all three when nothing is missing, nil where it is not known.
// Only the primary knows how many transactions and bytes it has still to send.
type Lag struct {
	Transactions *int64
	Bytes        *int64
	// Seconds is for how long the secondary has been behind, at most, by the primary's clock. It rises while there is
	// no connection.
	Seconds *float64
}

// Status returns a snapshot. It waits for no peer and no disk.
func (s *Secondary) Status() Status {
	last := s.st.LastTid()
	st := s.track.snapshot(last)
	st.StorageID, st.Epochs = s.Identity()
	st.Applied, st.Durable = last, last // visible only when durable
	return st
}
