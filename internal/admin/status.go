package admin

import (
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/histogram"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// A Source is a node whose status can be asked for. Status is called concurrently and must not wait for a peer or a
// disk.
type Source interface {
	Status() Status
}

// Sources is the Source of a process with several storages. Its Status has all of them in Storages, and for the rest
// that of the first one.
type Sources interface {
	Source
	Names() []string
	Storage(name string) Source // nil when there is none of that name
}

// An Only is a Source that says what its only storage is called; empty: it has no name.
type Only interface {
	Source
	OnlyStorage() string
}

// noStorage says why a process has no storage of that name; it is empty where it has one, or none was asked for.
func noStorage(src Source, name string) (why string) {
	if name == "" {
		return ""
	}
	var names []string
	switch src := src.(type) {
	case Sources:
		names = src.Names()
	case Only:
		names = []string{src.OnlyStorage()}
	default:
		return ""
	}
	switch {
	case slices.Contains(names, name):
		return ""
	case len(names) == 1 && names[0] == "":
		return "the only storage of this process has no name: leave it out"
	}
	return fmt.Sprintf("there is no storage of that name: there are %q", names)
}

// A Status is the document at /status. Sizes are bytes, times are UTC, durations are seconds. A nil pointer is null in
// JSON and means that the value is not known, or that there is none.
type Status struct {
	Version string    `json:"version"`
	Role    string    `json:"role"` // "primary", "secondary" or "standalone"
	Name    string    `json:"name"` // as peers see this node
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"` // the node's clock when it answered

	Ready    bool    `json:"ready"`
	NotReady *string `json:"not_ready_because"`
	NotLive  *string `json:"not_live_because"` // why only another start can help; nil: the process works, or waits
	ReadOnly bool    `json:"read_only"`        // standalone, and no client may commit
	Closed   bool    `json:"closed"`           // the storage is not open: not yet, or for a while
	Fault    *string `json:"fault"`            // why it takes no transactions though it should; nil: none

	NodeID       *string `json:"node_id"`        // of this copy; nil before it has met a primary
	Epoch        *Epoch  `json:"epoch"`          // the last one that it knows to have begun
	MaxEpochSeen *uint64 `json:"max_epoch_seen"` // the highest epoch that it has heard of, when that is above Epoch
	// Conflict is why the node does not lead although it was told to, or takes no transactions while it leads, or leads
	// beside another node. Nil: there is none.
	Conflict *Conflict `json:"conflict"`

	Fenced          bool    `json:"fenced"`           // it was primary, another node is now: it takes no transactions
	Frozen          bool    `json:"frozen"`           // it takes none until it is thawed
	Copied          bool    `json:"copied"`           // its state file came from another node, when the process began
	Spare           bool    `json:"spare"`            // it follows nobody, for no other node is out
	Learner         bool    `json:"learner"`          // begun anew, it has no vote until it has caught up
	ReplicationAddr *string `json:"replication_addr"` // where secondaries connect, as others reach it
	AdminAddr       *string `json:"admin_addr"`       // where other machines reach this server; nil: they cannot
	ZEOAddr         *string `json:"zeo_addr"`         // where ZEO clients connect, as it was given; nil: none do
	Sync            *Sync   `json:"sync"`             // nil: commits wait for nobody, or this node is not the primary

	Coordinator *Coordinator `json:"coordinator"` // nil: roles are changed by hand

	Storage      Storage     `json:"storage"`
	ZEO          *ZEO        `json:"zeo"`          // nil: no ZEO clients are served now
	Upstream     *Upstream   `json:"upstream"`     // nil on a primary
	Secondaries  []Secondary `json:"secondaries"`  // connected
	Disconnected []Secondary `json:"disconnected"` // were connected, the last one of each name
	Totals       Totals      `json:"totals"`

	// Verify is what verifications have found; its fields are those of package verify. Nil: none was made and none is
	// planned.
	Verify *verify.Status `json:"verify"`
	// Archive is how far the archive is. Nil: the node writes none.
	Archive *Archive `json:"archive"`
	// Heal is what is known of damage in the copy. Nil: nothing looks for any.
	Heal *Heal `json:"heal"`

	// Packs are those by schedule; its fields are those of package packplan. Nil: there is no schedule.
	Packs *packplan.State `json:"packs"`

	Troubles []Trouble `json:"troubles"` // that are there now
	// Warnings are all that an operator should know, troubles included, critical ones first.
	Warnings []warning.Warning `json:"warnings"`
	// SetAside is what this node has set aside by itself, because its primary never had it; oldest first.
	SetAside []SetAside `json:"set_aside"`

	// Reseeds are the times when the data file of this node was set aside as a whole; oldest first.
	Reseeds []Reseed `json:"reseeds"`

	// ApplyDelay is how much later clients see what this secondary receives. Nil: it has no delay.
	ApplyDelay *Delay `json:"apply_delay"`

	// AsOf are the moments of the storage that are served to ZEO clients as storages of their own.
	AsOf []Moment `json:"as_of"`

	Storages []Member `json:"storages,omitempty"` // of a process with several
}

// A Moment is a state of the storage that is served as a storage of its own.
type Moment struct {
	Name  string     `json:"name"`  // as clients ask for it
	At    string     `json:"at"`    // as it was configured
	Tid   *zodb.Tid  `json:"tid"`   // the last transaction that its clients see; nil: none, or it was never served
	Time  *time.Time `json:"time"`  // the time in Tid
	Error *string    `json:"error"` // why it is not served, or does not move on; nil: all is well
}

// LastTid returns the last transaction of the storage, 0 for none.
func (st *Status) LastTid() zodb.Tid {
	if st.Storage.LastTid == nil {
		return 0
	}
	return *st.Storage.LastTid
}

// A Conflict says why it is not clear which node may be primary; an operator must resolve it.
type Conflict struct {
	Kind string `json:"kind"` // "identity", "copy", "role", "epoch", "node" or "storage"
	Text string `json:"text"` // what is wrong, and what to do
}

// A Trouble is something that an operator should look at, and that is over by itself once its cause is.
type Trouble struct {
	Code  warning.Code `json:"code"`
	Text  string       `json:"text"`
	Since time.Time    `json:"since"`
	Stall bool         `json:"stall"` // commits, or what follows the primary, make no progress: the node is not ready
}

// A Reseed is a data file that was set aside as a whole, and taken anew from the primary.
type Reseed struct {
	Why   string    `json:"why"`     // missing, damaged, history or ordered
	Found string    `json:"found"`   // in words
	Had   *zodb.Tid `json:"had_tid"` // the last transaction that it was known to have had
	Name  string    `json:"name"`    // what the names of all that was set aside have at the end
	At    string    `json:"at"`
	Auto  bool      `json:"auto"` // without an operator
}

// A SetAside is a part of a storage that was taken out without a person.
type SetAside struct {
	First zodb.Tid `json:"first_tid"`
	Until zodb.Tid `json:"until_tid"`
	Last  zodb.Tid `json:"last_tid"` // the last transaction that stayed
	File  string   `json:"file"`     // a FileStorage with what was taken out
	At    string   `json:"at"`       // when, by the clock of the node
	Why   string   `json:"why"`      // why nothing was lost by that
}

// An Epoch is the time of one primary.
type Epoch struct {
	Number uint64    `json:"number"`
	Begin  *zodb.Tid `json:"begin_tid"` // the last transaction before it
	By     *string   `json:"by"`        // who began it
	At     *string   `json:"at"`        // when, by the clock of who began it
}

// A Coordinator is who decides which node leads, as this node sees it.
type Coordinator struct {
	Address        string   `json:"address"`
	Leader         *string  `json:"leader"`                  // who holds the leader lease, as last heard; nil: nobody
	Epoch          *uint64  `json:"epoch"`                   // the highest number that it has given out; nil: not heard
	LeaseRemaining float64  `json:"lease_remaining_seconds"` // how long this node may tell of commits
	Maintenance    bool     `json:"maintenance"`             // nobody is promoted or demoted
	Members        []string `json:"members"`                 // the names of the live ones
	Doing          *string  `json:"doing"`                   // what the node does about the leader lease, and why
	LastError      *string  `json:"last_error"`              // of the coordinator; nil: it answers
	// LastErrorAt is when that came last.
	LastErrorAt *time.Time `json:"last_error_at"`
}

// Sync is how commits wait for secondaries.
type Sync struct {
	Required      int        `json:"required"` // how many must have a transaction
	Names         []string   `json:"names"`    // of these; empty: of any
	Ack           string     `json:"ack"`      // "durable" or "applied"
	Timeout       float64    `json:"timeout_seconds"`
	OnTimeout     string     `json:"on_timeout"` // "block" or "degrade"
	Degraded      bool       `json:"degraded"`   // commits do not wait at present: too few secondaries answered in time
	DegradedSince *time.Time `json:"degraded_since"`
	Degradations  int64      `json:"degradations"` // how often, since the process began
	Waiting       int        `json:"waiting"`      // 1 while something waits for acknowledgements
	SyncedTid     *zodb.Tid  `json:"synced_tid"`   // the last transaction that enough secondaries have
	Waits         *Durations `json:"wait_seconds"` // how long commits waited for secondaries, since the process began
}

// A Member is one storage among several of a process.
type Member struct {
	Name     string  `json:"name"`
	Role     string  `json:"role"`
	Ready    bool    `json:"ready"`
	NotReady *string `json:"not_ready_because"`
}

// A Storage describes the node's own file.
type Storage struct {
	Path     string     `json:"path"`
	ID       *string    `json:"id"`
	Magic    *string    `json:"magic"` // "FS30" or "FS21"
	Attached bool       `json:"attached"`
	Blobs    bool       `json:"blobs"`        // there is a blob directory
	Shared   bool       `json:"blobs_shared"` // that is the primary's own
	Size     int64      `json:"size_bytes"`
	Objects  *int64     `json:"objects"` // nil where no index is kept
	LastTid  *zodb.Tid  `json:"last_tid"`
	LastTime *time.Time `json:"last_time"` // the time in LastTid
	// Future is by how much LastTime is ahead of the node's clock.
	Future float64 `json:"future_seconds"`
	Chain  *Chain  `json:"chain"` // nil where none is kept
	// LastPack is the last one since the storage was opened; nil: there was none.
	LastPack *LastPack `json:"last_pack"`
	Packing  bool      `json:"packing"` // one is under way
	// Sync is how long syncs of the data file take, since it was opened. Nil: this process does not write it.
	Sync *Durations `json:"sync_seconds"`
	// Lock is how long transactions wait for the commit lock. Nil as of Sync.
	Lock *Durations `json:"commit_lock_seconds"`
	// Growth is how long the data file was in the two weeks before the process began, by its transactions; the last
	// entry is of the beginning.
	Growth []Size `json:"growth"`
	// Disks are those of the data file and, if it has another one, of the blob directory.
	Disks []Disk `json:"disks"`
	// BlobCache is nil where the blob directory has all blobs, and BlobStore where there is no object store.
	BlobCache *BlobCache `json:"blob_cache"`
	BlobStore *BlobStore `json:"blob_store"`
	// LastError is the last failure to read the storage for secondaries, and when it came; nil: it is over.
	LastError   *string    `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
}

// A BlobCache is a blob directory that has a part of the blobs.
type BlobCache struct {
	Target  int64 `json:"target_bytes"`
	Bytes   int64 `json:"bytes"`         // that are here
	Blobs   int64 `json:"blobs"`         // likewise
	Hits    int64 `json:"hits"`          // blobs that were asked for and here
	Misses  int64 `json:"misses"`        // fetches that were begun
	Fetched int64 `json:"fetched_bytes"` // by those that came to their end
	Failed  int64 `json:"failed"`        // fetches
	Evicted int64 `json:"evicted"`       // blobs
	Stuck   int64 `json:"kept"`          // how often a blob could not go because nobody else was known to have it
}

// A BlobStore is an object store that has all blobs.
type BlobStore struct {
	Store    string    `json:"store"`          // URL, without parameters and credentials
	Upload   string    `json:"upload"`         // "now" or "later"
	Waiting  int64     `json:"waiting"`        // blobs that were committed here and are not in it yet
	Uploaded int64     `json:"uploaded"`       // blobs, since the storage was opened
	Bytes    int64     `json:"uploaded_bytes"` // of them
	Tid      *zodb.Tid `json:"complete_tid"`   // up to here it is known to have all; nil: nothing is known
	// LastError is why uploads fail at present, since LastErrorAt; nil: they do not.
	LastError   *string    `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
	// Cleaning is what becomes of objects that nothing needs any more; nil: they stay.
	Cleaning *BlobCleaning `json:"cleaning"`
}

// BlobCleaning is how a primary removes what packs leave in an object store.
type BlobCleaning struct {
	Grace         float64    `json:"grace_seconds"`
	Unneeded      int64      `json:"unneeded"` // objects that the last look has found, and that are still there
	UnneededBytes int64      `json:"unneeded_bytes"`
	Removed       int64      `json:"removed"` // objects, since the storage was opened
	RemovedBytes  int64      `json:"removed_bytes"`
	Looked        *time.Time `json:"looked_at"` // when the last look ended that nothing stopped; nil: none has
	// LastError is why nothing is removed at present, since LastErrorAt; nil: nothing is wrong.
	LastError   *string    `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
}

// ZEO is what ZEO clients of the storage do, and did since it was opened.
type ZEO struct {
	Clients   int        `json:"clients"` // connected now
	Loads     int64      `json:"loads"`
	Stores    int64      `json:"stores"`
	Commits   int64      `json:"commits"`
	Aborts    int64      `json:"aborts"`
	Conflicts int64      `json:"conflicts"`          // that clients were told
	Resolved  int64      `json:"conflicts_resolved"` // merged by the server, so that no client was told
	Voting    int64      `json:"voting"`             // transactions that vote or wait for the commit lock
	Commit    *Durations `json:"commit_seconds"`     // from tpc_finish to its answer

	Invalidations int64 `json:"invalidations"`  // messages that were put out for clients
	Uploads       int64 `json:"blob_uploads"`   // by clients; those of a shared blob directory are not
	Downloads     int64 `json:"blob_downloads"` // likewise
	Received      int64 `json:"received_bytes"`
	Sent          int64 `json:"sent_bytes"`
	Queued        int64 `json:"queued_bytes"` // that wait for clients to read them
}

// A LastPack is a pack that came to its end.
type LastPack struct {
	Ended    time.Time `json:"ended"`
	Duration float64   `json:"duration_seconds"`
	Packed   bool      `json:"packed"` // false: there was nothing to drop
	Before   int64     `json:"before_bytes"`
	After    int64     `json:"after_bytes"`
}

// Durations say how long something takes that is done often.
type Durations struct {
	Count uint64             `json:"count"`
	Sum   float64            `json:"sum"`
	P50   *float64           `json:"p50"` // nil: it was never done
	P99   *float64           `json:"p99"`
	Times histogram.Snapshot `json:"-"`
}

// DurationsOf returns what a histogram has counted.
func DurationsOf(times histogram.Snapshot) *Durations {
	d := &Durations{Count: times.Count(), Sum: times.Sum().Seconds(), Times: times}
	if d.Count > 0 {
		d.P50, d.P99 = Known(times.Quantile(0.5).Seconds()), Known(times.Quantile(0.99).Seconds())
	}
	return d
}

// A Size is how long the data file was.
type Size struct {
	At    time.Time `json:"at"`
	Bytes int64     `json:"bytes"`
}

// A Disk is a file system with files of the node, as it was seconds ago.
type Disk struct {
	Folder string  `json:"folder"` // that is on it
	Free   int64   `json:"free_bytes"`
	Size   int64   `json:"size_bytes"`
	Error  *string `json:"error"` // why these are not known; nil: they are
}

// A Chain is the chain of digests over the history, from after its base. All but Behind is nil while it is not known.
type Chain struct {
	Base   *zodb.Tid    `json:"base"`
	Tid    *zodb.Tid    `json:"tid"`   // up to where it goes
	Count  *uint64      `json:"count"` // transactions in it
	Value  *zodb.Digest `json:"value"`
	Behind int64        `json:"behind"` // bytes of the file that have still to be read
}

// An Upstream is the connection of a secondary to where its transactions come from.
type Upstream struct {
	Address  *string    `json:"address"` // the one in use, or tried last
	Name     *string    `json:"name"`    // how the primary calls itself
	State    string     `json:"state"`
	Since    *time.Time `json:"since"`    // when it entered the state
	Protocol *string    `json:"protocol"` // "zrsd/1", "zrs2.0" or "zrs2.1"; nil before the first connection
	LastTid  *zodb.Tid  `json:"last_tid"`
	Applied  *zodb.Tid  `json:"applied_tid"`
	Durable  *zodb.Tid  `json:"durable_tid"`
	Lag      Lag        `json:"lag"`
	Seed     *Seed      `json:"seed"` // nil: transactions come one by one
	// LastError is why the last connection ended or did not come about, and when; nil: that is over, the state is live.
	LastError   *string    `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
}

// A Seed is how far a secondary is that takes the data file as it is.
type Seed struct {
	Done  int64     `json:"done_bytes"`  // durable at the secondary, since the connection began
	Total int64     `json:"total_bytes"` // that there were to get then
	Rate  float64   `json:"bytes_per_second"`
	Left  *float64  `json:"seconds_left"` // at this rate; nil: not known
	Since time.Time `json:"since"`        // when the connection began
}

// A Secondary is one connection of a secondary to this node, open or ended.
type Secondary struct {
	Name            string     `json:"name"`
	Address         string     `json:"address"`
	State           string     `json:"state"`
	Since           *time.Time `json:"since"`    // when it connected, or went
	Protocol        *string    `json:"protocol"` // as of Upstream
	NodeID          *string    `json:"node_id"`
	ReplicationAddr *string    `json:"replication_addr"` // where others can connect to it
	Sent            *zodb.Tid  `json:"sent_tid"`
	Applied         *zodb.Tid  `json:"applied_tid"`
	Durable         *zodb.Tid  `json:"durable_tid"`
	Lag             Lag        `json:"lag"`
	Total           Traffic    `json:"total"` // sent to it on this connection; bytes on the wire
	Seed            *Seed      `json:"seed"`  // nil: it gets its transactions one by one
	LastError       *string    `json:"last_error"`
	// Trouble is what kind of error that is: not_mounted or no_space; nil: another one, or none.
	Trouble *string `json:"trouble"`
	// Replaced is the node of this name that had transactions before, where this one began with none; nil: there was
	// none, or that is not known.
	Replaced *Replaced `json:"replaced"`
}

// CatchUps count what secondaries lacked when they connected, in the words of OpenStack Swift's replicators.
type CatchUps struct {
	Attempted  int64 `json:"attempted"`
	NoChange   int64 `json:"no_change"`
	Diff       int64 `json:"diff"`
	Seed       int64 `json:"seed"`
	DiffCapped int64 `json:"diff_capped"`
}

func (c *CatchUps) add(o *CatchUps) {
	c.Attempted += o.Attempted
	c.NoChange += o.NoChange
	c.Diff += o.Diff
	c.Seed += o.Seed
	c.DiffCapped += o.DiffCapped
}

// Replaced is a node that was in the place of another one.
type Replaced struct {
	NodeID  string    `json:"node_id"`
	Durable *zodb.Tid `json:"durable_tid"`
}

// A Lag is how far a secondary is behind, in three units. It is zero when nothing is missing.
type Lag struct {
	Transactions *int64   `json:"transactions"`
	Bytes        *int64   `json:"bytes"`
	Seconds      *float64 `json:"seconds"`
}

// Totals only rise while the process lives, and begin at zero with it.
type Totals struct {
	Sent         Traffic          `json:"sent"`    // to secondaries
	Applied      Traffic          `json:"applied"` // from upstream
	Reconnects   int64            `json:"reconnects"`
	DigestErrors int64            `json:"digest_errors"` // from upstream came something else than was sent
	CatchUps     CatchUps         `json:"catch_ups"`     // of secondaries
	Refusals     map[string]int64 `json:"refusals"`      // by code: given to secondaries, and got from upstream
}

// Traffic counts transactions and their bytes.
type Traffic struct {
	Transactions int64 `json:"transactions"`
	Bytes        int64 `json:"bytes"`
}

// Known returns a pointer to v: the form in which a Status says that it knows v.
func Known[T any](v T) *T { return &v }

// NonZero returns a pointer to v, nil when v is zero and so says nothing.
func NonZero[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}
