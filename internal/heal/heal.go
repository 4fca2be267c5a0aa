package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// An OtherHistoryError says that a node cannot help because its copy is not of the same history, or not byte for byte
// the same, as after a pack of one of the two.
type OtherHistoryError struct{ Peer, Text string }

func (e *OtherHistoryError) Error() string {
	return fmt.Sprintf("the copy of %s is of another history, or was packed otherwise: %s", e.Peer, e.Text)
}

// A PeerDamagedError says that a node cannot help because its copy is damaged at the same place.
type PeerDamagedError struct {
	Peer string
	Pos  int64
	Err  error // what contradicts it; nil: it has the same bytes
}

func (e *PeerDamagedError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("the copy of %s has the same damage at %d", e.Peer, e.Pos)
	}
	return fmt.Sprintf("the copy of %s is damaged at %d, too: %v", e.Peer, e.Pos, e.Err)
}

func (e *PeerDamagedError) Unwrap() error { return e.Err }

// A Target is what the right bytes are written to: a *filestorage.Storage, or a file that cannot be opened.
type Target interface {
	Repair(ctx context.Context, r *filestorage.Repair) error
	RepairBlob(r *filestorage.BlobRepair) error
	HasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error)
	Reindex(ctx context.Context) (corrected int, err error)
}

// Options say what is healed. Path and Target are required.
type Options struct {
	FS     vfs.FS // nil: the real disk
	Path   string // of the Data.fs
	Target Target
	// Kept returns the hash chain as it was computed when the transactions were committed.
	Kept func() (state.Chain, error)
	// Committed returns up to where the file is committed. Nil: what is suspected is taken as it is.
	Committed func() int64
	// Boundary returns where a transaction begins, at or before an offset. Nil: transactions are followed from the
	// front.
	Boundary func(ctx context.Context, pos int64) (int64, error)
	Blobs    verify.BlobDir // nil: blobs are left alone
	MaxBlob  int64          // the largest blob that is taken; 0: no limit
	Peers    []Peer
	By       string // what has found the damage
	Dry      bool   // nothing is written
	// Proved is told what a part of the data file has to be, or without patches that it is right as it is, before
	// anything is written; may be nil.
	Proved func(part filestorage.Part, patches []filestorage.Patch)
	// Patience bounds the time for one other node; 0: it is only bounded for each of its answers.
	Patience time.Duration
	Answer   time.Duration // bounds the time for one answer; 0: 30 s
	Logger   hclog.Logger
	Now      func() time.Time // nil: the system's
}

// A Result is what became of a suspect.
type Result string

// The results.
const (
	Healed    Result = "healed"
	WouldHeal Result = "would-heal" // but for Dry
	Sound     Result = "sound"      // nothing is wrong there, any more
	Failed    Result = "failed"
)

// An Item is what became of one suspect.
type Item struct {
	Result   Result    `json:"result"`
	What     string    `json:"what"` // data, blob or index
	Offset   int64     `json:"offset"`
	Length   int64     `json:"length"` // bytes that were replaced
	Tid      *zodb.Tid `json:"tid"`
	Oid      *zodb.Oid `json:"oid"`
	Found    string    `json:"found"`
	Peer     *string   `json:"peer"`     // where the right bytes come from
	Error    *string   `json:"error"`    // why it failed
	Evidence bool      `json:"evidence"` // false: a blob of which no digest was noted

	Of    verify.Suspect `json:"-"`
	Final bool           `json:"-"` // it makes no sense to try it again
}

// maxItems bounds what is listed; the rest is counted.
const maxItems = 200

// A Report is what was done.
type Report struct {
	Path        string    `json:"path"`
	Dry         bool      `json:"dry_run"`
	Began       time.Time `json:"began"`
	Ended       time.Time `json:"ended"`
	Found       int64     `json:"found"`       // parts that were to be healed
	Sound       int64     `json:"sound"`       // of them, nothing was wrong there any more
	Healed      int64     `json:"healed"`      // or would have been
	Quarantined int64     `json:"quarantined"` // damaged parts that are kept in quarantine/
	Failed      int64     `json:"failed"`
	Damages     int64     `json:"damages"` // that the last verification found
	Items       []Item    `json:"items"`   // the first ones
}

func (r *Report) add(i *Item) {
	r.Found++
	switch i.Result {
	case Healed, WouldHeal:
		r.Healed++
	case Sound:
		r.Sound++
	default:
		r.Failed++
	}
	if len(r.Items) < maxItems {
		r.Items = append(r.Items, *i)
	}
}

// Merge adds what a later one has.
func (r *Report) Merge(later *Report) {
	r.Ended = later.Ended
	r.Found += later.Found
	r.Sound += later.Sound
	r.Healed += later.Healed
	r.Quarantined += later.Quarantined
	r.Failed += later.Failed
	r.Items = append(r.Items, later.Items[:min(len(later.Items), maxItems-min(len(r.Items), maxItems))]...)
}

// A healer works through suspects.
type healer struct {
	opt    Options
	copy   *verify.Copy
	noted  verify.NotedDigests
	read   bool // noted has been read
	peers  map[string]*connected
	report *Report
}

// A connected peer is one that has been asked.
type connected struct {
	remote *hashchain.Remote
	err    error // why it cannot be asked
	same   error // nil: its history is proved to be the same; else why that is not known
	other  *OtherHistoryError
}

// Run heals what it can. The error says why it could not look; what could not be healed is in the Report.
func Run(ctx context.Context, opt Options, suspects []verify.Suspect) (*Report, error) {
	h := newHealer(opt)
	defer func() { h.report.Ended = h.opt.Now().UTC() }()
	defer h.close()
	suspects = slices.Clone(suspects)
	slices.SortStableFunc(suspects, before)
	for i := range suspects {
		if err := context.Cause(ctx); err != nil {
			return h.report, err
		}
		if err := h.refresh(); err != nil {
			return h.report, err
		}
		item := h.one(ctx, &suspects[i])
		h.report.add(item)
		h.tell(item)
	}
	return h.report, nil
}

// before has small parts of the data file come first, and then blobs and the index, for which it has to be right.
func before(a, b verify.Suspect) int {
	rank := func(s verify.Suspect) int {
		switch {
		case s.Index:
			return 2
		case s.Blob:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.To-a.From, b.To-b.From))
}

func newHealer(opt Options) *healer {
	opt.FS = vfs.OrOS(opt.FS)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Answer == 0 {
		opt.Answer = patience
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
	return &healer{opt: opt, peers: map[string]*connected{},
		report: &Report{Path: opt.Path, Dry: opt.Dry, Began: opt.Now().UTC(), Items: []Item{}}}
}

// refresh reads what is noted of the file, as it is now.
func (h *healer) refresh() error {
	kept, err := h.opt.Kept()
	if err != nil {
		h.opt.Logger.Info("healing does without the checkpoints of the hash chain", "error", err)
	}
	h.copy, err = verify.OpenCopy(h.opt.FS, h.opt.Path, kept)
	return err
}

func (h *healer) tell(i *Item) {
	if i.Result == Failed {
		h.opt.Logger.Error("damage could not be healed", "file", h.opt.Path, "what", i.What, "offset", i.Offset,
			"found", i.Found, "error", *i.Error, "warning", warning.Damaged)
	}
}

func (h *healer) close() {
	for _, c := range h.peers {
		if c.remote != nil {
			_ = c.remote.Close() // it was only asked
		}
	}
}

// one heals what it can of one suspect.
func (h *healer) one(ctx context.Context, s *verify.Suspect) *Item {
	item := &Item{What: "data", Offset: s.From, Tid: s.Tid, Oid: s.Oid, Found: s.Found, Evidence: true,
		Of: *s}
	var err error
	switch {
	case s.Index:
		item.What = "index"
		err = h.index(ctx, item)
	case s.Blob:
		item.What = "blob"
		err = h.blob(ctx, s, item)
	default:
		err = h.data(ctx, s, item)
	}
	if err != nil {
		text := err.Error()
		item.Result, item.Error = Failed, &text
		notKept := (*filestorage.NotKeptError)(nil)
		item.Final = errors.As(err, &notKept)
	}
	return item
}

// healed notes a success.
func (h *healer) healed(item *Item, peer string, quarantined int64) {
	item.Peer, item.Result = &peer, Healed
	if h.opt.Dry {
		item.Result = WouldHeal
		return
	}
	h.report.Quarantined += quarantined
}

// index corrects the index in memory by what is in the file, and saves it. Where something was wrong in the file the
// next verification says whether the index is.
func (h *healer) index(ctx context.Context, item *Item) error {
	if h.report.Found > 0 {
		item.Result = Sound
		return nil
	}
	item.Result = WouldHeal
	if h.opt.Dry {
		return nil
	}
	item.Result = Healed
	_, err := h.opt.Target.Reindex(ctx)
	return err
}

var errNoPeer = errors.New("no other node can be asked: none is known, or none is connected")

// each tries one node after the other, until one helps.
func (h *healer) each(ctx context.Context, try func(context.Context, Peer, *connected) error) error {
	errs := []error{}
	for _, p := range h.opt.Peers {
		err := h.ask(ctx, p, try)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
	}
	if len(errs) == 0 {
		return errNoPeer
	}
	return errors.Join(errs...)
}

// ask tries one node.
func (h *healer) ask(ctx context.Context, p Peer, try func(context.Context, Peer, *connected) error) error {
	if h.opt.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.opt.Patience)
		defer cancel()
	}
	c := h.connect(ctx, p)
	if c.err != nil {
		return c.err
	}
	return try(ctx, p, c)
}

// proved tells who is to be told what a part of the data file has to be.
func (h *healer) proved(from, to int64, patches []filestorage.Patch) {
	if h.opt.Proved != nil {
		h.opt.Proved(filestorage.Part{From: from, To: to}, patches)
	}
}

// connect returns a node that answers, or why it does not.
func (h *healer) connect(ctx context.Context, p Peer) *connected {
	if c := h.peers[p.Name]; c != nil && (c.err != nil || c.remote.Alive()) {
		return c
	}
	c := &connected{}
	h.peers[p.Name] = c
	ctx, cancel := context.WithTimeout(ctx, h.opt.Answer)
	defer cancel()
	if c.remote, c.err = p.Ask(ctx); c.err != nil {
		c.remote = nil
		return c
	}
	var span hashchain.Span
	if span, c.same = c.remote.Span(ctx); c.same != nil {
		if unknown := (*hashchain.UnknownError)(nil); !errors.As(c.same, &unknown) {
			c.err = c.same
		}
		return c
	}
	c.same = h.compare(ctx, p, c, span)
	return c
}

// compare reports whether a node proves that its history is the one here, as far as both have it.
func (h *healer) compare(ctx context.Context, p Peer, c *connected, span hashchain.Span) error {
	kept, err := h.opt.Kept()
	if err != nil {
		return err
	}
	for i := len(kept.Checkpoints) - 1; i >= 0; i-- {
		mine := kept.Checkpoints[i]
		if mine.Tid > span.Last {
			continue
		}
		there, err := c.remote.At(ctx, kept.Base, mine.Tid)
		if err != nil {
			return err
		}
		if there != (hashchain.Point{Tid: mine.Tid, Count: mine.Count, Value: mine.Value}) {
			c.other = &OtherHistoryError{Peer: p.Name, Text: fmt.Sprintf("up to transaction %v the hash chains differ",
				mine.Tid)}
			return c.other
		}
		return nil
	}
	return errors.New("there is no common transaction to compare the histories at")
}
