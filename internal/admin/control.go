package admin

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/blobtools"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/zodb"
)

// A Control does what operators ask of the storages of a process. A storage is meant by its name; empty means all of
// them for Clients, and otherwise the only one. Methods are called concurrently. An error is a *Refusal, or what
// failed.
type Control interface {
	Clients(storage string) ([]Client, error)
	// Pack packs until it is done or ctx ends. Progress is called now and then, and must not wait.
	Pack(ctx context.Context, storage string, req PackRequest, progress func(PackProgress)) (PackResult, error)
	// Verify makes one pass. A pass that did not come to its end is no error: it says why itself.
	Verify(ctx context.Context, storage string, req VerifyRequest, progress func(VerifyProgress)) (verify.Pass, error)
	// Heal verifies, and replaces what is damaged by what other nodes have.
	Heal(ctx context.Context, storage string, req HealRequest, progress func(VerifyProgress)) (heal.Report, error)
	// AuditBlobs compares the blobs of a storage with its records.
	AuditBlobs(ctx context.Context, storage string, found func(*blobtools.Finding) error,
		progress func(VerifyProgress)) (*blobtools.Summary, error)
	// CountBlobs counts the blobs of a storage.
	CountBlobs(ctx context.Context, storage string, q StatsQuery, progress func(VerifyProgress)) (*blobtools.Stats,
		error)
	// ConvertBlobs changes the layout of the blob directory, while it is in use.
	ConvertBlobs(ctx context.Context, storage string, q ConvertQuery, progress func(blobstore.Conversion)) (
		blobstore.Conversion, error)
	// Inside answers a question about what is in a storage: *inside.Census, *inside.Refs, …
	Inside(ctx context.Context, storage string, q inside.Question, progress func(VerifyProgress)) (answer any,
		err error)
	// Feed puts transactions into a sink, until the end or until ctx ends.
	Feed(ctx context.Context, storage string, q FeedQuery, to FeedSink) error
	// ApplyUntil says how far clients of a secondary with an apply delay get to see.
	ApplyUntil(ctx context.Context, storage string, req ApplyUntilRequest) (ApplyUntil, error)
	UndoLog(ctx context.Context, storage string, q UndoQuery) ([]UndoEntry, error)
	Roles
}

// A Reason says to programs why a command was not done.
type Reason string

// The reasons.
const (
	NoStorage   Reason = "no_storage"  // there is none of that name
	Invalid     Reason = "invalid"     // the request makes no sense; another one may
	NotAllowed  Reason = "not_allowed" // not over this connection, or not to this storage
	Busy        Reason = "busy"        // the same is being done already
	Unavailable Reason = "unavailable" // the storage is not open now
	Unsafe      Reason = "unsafe"      // transactions could be lost; the request can insist
	Failed      Reason = "failed"      // anything else, such as a full disk
)

// A Refusal says why a command was not done, and to people what to do about it. It is the error of commands, in JSON
// as in Go.
type Refusal struct {
	Reason Reason `json:"reason"`
	Text   string `json:"text"`
}

func (e *Refusal) Error() string { return printable.Line(e.Text) }

// A Client is a ZEO connection. Clients announce no version of theirs: the encoding is all that is known of that.
type Client struct {
	Address  *string   `json:"address"`  // of the other side; nil over a Unix socket
	Label    *string   `json:"label"`    // as it calls itself
	Storage  *string   `json:"storage"`  // nil before it has named one
	Protocol *string   `json:"protocol"` // "Z5" or "M5": the encoding of ZEO's protocol 5
	ReadOnly bool      `json:"read_only"`
	Since    time.Time `json:"connected_since"`

	Doing      string     `json:"doing"`       // "connecting", "idle", "buffering", "waiting", …: see package zeo
	DoingSince *time.Time `json:"doing_since"` // nil while it is connecting or idle
	Outbox     int64      `json:"outbox_bytes"`

	Loads   int64 `json:"loads"` // of this connection, as the two below
	Stores  int64 `json:"stores"`
	Commits int64 `json:"commits"`
}

// A PackRequest says how to pack.
type PackRequest struct {
	Until   time.Time // zero: the node's time when it begins
	GC      *bool     // nil: as configured
	KeepOld *bool     // nil: as configured

	CopyDamage bool // although damage is known, which the new file would have
}

// PackProgress says how far a pack is, in units of the phase: bytes, but objects in the phase "mark".
type PackProgress struct {
	Phase string `json:"phase"` // "scan", "mark", "copy" or "blobs"
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// A PackResult is what a pack did.
type PackResult struct {
	Packed   bool    `json:"packed"` // false: there was nothing to drop, and nothing was changed
	Before   int64   `json:"before_bytes"`
	After    int64   `json:"after_bytes"`
	Objects  int64   `json:"objects"`       // in the new file
	Blobs    int64   `json:"dropped_blobs"` // revisions of blobs that were removed
	Pause    float64 `json:"pause_seconds"` // for which no transaction could begin
	Duration float64 `json:"duration_seconds"`
}

// Bounds of an UndoQuery.
const (
	MaxUndoCount = 1000
	MaxUndoFirst = 1_000_000_000
)

// An UndoQuery asks for transactions that can be undone, the newest first.
type UndoQuery struct {
	First, Count      int    // to skip and to list at most, of those that the texts let through
	User, Description string // a part of what the transaction has
	Received          bool   // also what a delayed node does not show yet
}

// MaxUndoText is how many bytes of a user or a description are shown at most.
const MaxUndoText = 1000

// An UndoEntry is a transaction that can be undone, unless later ones are in the way. Bytes that are no UTF-8 are
// replaced in the texts, and long ones end with "…".
type UndoEntry struct {
	ID          string    `json:"id"` // by which ZODB's undo knows it
	Tid         zodb.Tid  `json:"tid"`
	Time        time.Time `json:"time"` // in the tid
	Size        int64     `json:"size_bytes"`
	User        string    `json:"user"`
	Description string    `json:"description"`
}
