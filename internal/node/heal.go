package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// When a node heals damage by itself.
const (
	HealByRole = "by-role" // as HealAuto while it is a secondary, and as HealAsk while it is primary; the default
	HealAuto   = "auto"    // whenever it is found
	HealAsk    = "ask"     // when an operator asks for it
)

// How soon and how often healing is tried again that has failed. What is given up then the next verification finds
// again.
const (
	healFirst = 5 * time.Second
	healLast  = time.Hour
	healTries = 12
	// healRounds is how often in a row what was healed makes another verification due: a pass ends at the first broken
	// length, and only the next one finds what is after it.
	healRounds = 100
)

// healedAgain is how often the same place is healed. What is damaged again after that the disk does not keep.
const healedAgain = 3

// maxDamaged bounds what is remembered of damaged parts.
const maxDamaged = 1000

// A damagedPart is one that is known and not healed yet.
type damagedPart struct {
	verify.Suspect
	known bool // loads get what has to be there
	by    string
	tries int
	due   time.Time
	since time.Time
	err   string
}

// A partKey tells damaged parts apart.
type partKey struct {
	blob, index bool
	from        int64
	oid         zodb.Oid
	tid         zodb.Tid
}

func keyOf(s *verify.Suspect) partKey {
	k := partKey{blob: s.Blob, index: s.Index, from: s.From}
	if s.Blob && s.Oid != nil && s.Tid != nil {
		k.oid, k.tid = *s.Oid, *s.Tid
	}
	return k
}

// A healer knows what is damaged in a storage, and heals it by itself if it is to. Its methods may be called
// concurrently.
type healer struct {
	c       *Config
	log     hclog.Logger
	kick    chan struct{}
	working chan struct{} // one slot: one heals at a time
	rounds  int           // of the goroutine that heals
	// allBlobs says that the last pass was to read all blobs, and did not come to them.
	allBlobs atomic.Bool
	answers  *answers // of loads
	blobs    *blobAnswers
	// unanswered is when a stream has last met a damaged blob of which no other node could say what it has to be.
	unanswered atomic.Int64

	mu     sync.Mutex
	since  time.Time // what verifications before it have found is not in parts; zero: nor in the data file
	parts  map[partKey]*damagedPart
	healed map[partKey]int // how often
	counts admin.Heal      // without what is taken from parts
}

func newHealer(c *Config) *healer {
	return &healer{c: c, log: c.Logger.Named("heal"), kick: make(chan struct{}, 1), working: make(chan struct{}, 1),
		parts: map[partKey]*damagedPart{}, healed: map[partKey]int{}, answers: newAnswers(),
		blobs: newBlobAnswers(), since: time.Now()}
}

// meets is filestorage.Options.Damaged.
func (h *healer) meets(damage error) {
	if s, ok := heal.SuspectOf(h.c.Data, damage); ok {
		h.add("a reader", s)
	}
}

// verified takes what a pass has found. What it has looked at and did not find again is no damage any more: blobs, if
// it has read all of them, and of the data file what it came to.
func (h *healer) verified(pass *verify.Pass, req *admin.VerifyRequest) {
	h.allBlobs.Store(req.AllBlobs && missedBlobs(pass))
	if pass.Error == nil {
		h.mu.Lock()
		for k, p := range h.parts {
			looked := p.From < pass.Bytes
			if p.Blob {
				looked = req.AllBlobs && !missedBlobs(pass)
			}
			if looked {
				delete(h.parts, k)
			}
		}
		h.mu.Unlock()
	}
	h.add(byVerify, pass.Suspects...)
}

const byVerify = "a verification"

// add remembers damaged parts, and has them healed if that is to be.
func (h *healer) add(by string, suspects ...verify.Suspect) {
	now := time.Now().UTC()
	h.mu.Lock()
	for i := range suspects {
		k := keyOf(&suspects[i])
		if h.parts[k] == nil && len(h.parts) < maxDamaged {
			p := &damagedPart{Suspect: suspects[i], by: by, since: now, due: now}
			if n := h.healed[k]; n >= healedAgain {
				p.giveUp(fmt.Sprintf("it was healed %d times and is damaged again: replace the disk, and have this "+
					"node filled anew", n))
			}
			h.parts[k] = p
		}
	}
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// auto reports whether damage is healed without an operator.
func (h *healer) auto() bool { return h.mode() == HealAuto }

func (h *healer) mode() string {
	if h.c.Heal == HealAuto || h.c.Heal == HealAsk {
		return h.c.Heal
	}
	if v := h.c.verifiable.Load(); v == nil || v.primary == nil || v.primary() {
		return HealAsk
	}
	return HealAuto
}

// run heals until ctx ends.
func (h *healer) run(ctx context.Context) {
	tick := time.NewTicker(healFirst)
	defer tick.Stop()
	for {
		select {
		case <-h.kick:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if h.auto() {
			h.work(ctx)
		} else {
			h.look(ctx)
		}
	}
}

// look finds out what has to be where damage is known, so that loads get it before an operator agrees to a repair.
func (h *healer) look(ctx context.Context) {
	for _, p := range h.due() {
		if p.known || p.Blob || p.Index {
			continue
		}
		err := h.c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
			own, is := st.(*filestorage.Storage)
			if !is {
				return errors.New("the storage belongs to the process that this one is attached to")
			}
			return h.c.correct(ctx, own, p.Suspect)
		})
		h.looked(&p.Suspect, err)
	}
}

// looked notes whether loads get what has to be at a place now.
func (h *healer) looked(s *verify.Suspect, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.parts[keyOf(s)]
	switch {
	case p == nil:
	case err == nil:
		p.known, p.err = true, ""
	default:
		p.later(time.Now().UTC(), err.Error())
	}
}

// giveUp has a part not tried again.
func (p *damagedPart) giveUp(why string) { p.tries, p.err = healTries, why }

// later has a part tried again some time after now.
func (p *damagedPart) later(now time.Time, why string) {
	p.due = now.Add(min(healFirst<<p.tries, healLast))
	p.tries++
	p.err = why
}

// due returns the parts that are to be tried now.
func (h *healer) due() (list []damagedPart) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.parts {
		if p.tries < healTries && !p.due.After(now) {
			list = append(list, *p)
		}
	}
	return list
}

// work heals what is due, and verifies again where more may come to light.
func (h *healer) work(ctx context.Context) {
	list := h.due()
	if len(list) == 0 {
		h.rounds = 0
		return
	}
	select {
	case h.working <- struct{}{}:
		defer func() { <-h.working }()
	default:
		return // an operator has it done
	}
	report, err := h.c.heal(ctx, suspectsOf(list), list[0].by, false)
	if report == nil {
		h.log.Debug("cannot heal now", "error", err)
		return
	}
	h.settle(report)
	verifies := slices.ContainsFunc(list, func(p damagedPart) bool { return p.by == byVerify })
	if report.Healed == 0 || !verifies || h.rounds >= healRounds {
		return
	}
	h.rounds++
	ask := admin.VerifyRequest{AllBlobs: h.allBlobs.Load()}
	if _, err := h.c.verify(ctx, ask, func(admin.VerifyProgress) {}); err != nil {
		h.log.Debug("cannot verify after healing", "error", err)
	}
}

func suspectsOf(list []damagedPart) (suspects []verify.Suspect) {
	for i := range list {
		suspects = append(suspects, list[i].Suspect)
	}
	return suspects
}

// settle takes what became of parts.
func (h *healer) settle(report *heal.Report) {
	now := time.Now().UTC()
	h.mu.Lock()
	h.counts.Healed += report.Healed
	h.counts.Quarantined += report.Quarantined
	h.counts.Failed += report.Failed
	h.counts.Last = &now
	for i := range report.Items {
		item, k := &report.Items[i], keyOf(&report.Items[i].Of)
		if item.Result == heal.Healed && len(h.healed) < maxDamaged {
			h.healed[k]++
		}
		p := h.parts[k]
		switch {
		case p == nil:
		case item.Final:
			p.giveUp(*item.Error)
		case item.Result != heal.Failed:
			delete(h.parts, k)
		default:
			p.later(now, *item.Error)
		}
	}
	h.mu.Unlock()
	if report.Healed > 0 {
		h.c.verifier.NoteHealed(report.Healed, report.Quarantined)
	}
}

// show adds what is known to the status.
func (h *healer) show(st *admin.Status) {
	mode := h.mode()
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.counts
	out.Answered, out.Unanswered = h.answers.counts()
	out.Mode, out.Pending = mode, int64(len(h.parts))
	var first *damagedPart
	for _, p := range h.parts {
		if first == nil || p.since.Before(first.since) || p.since.Equal(first.since) && p.From < first.From {
			first = p
		}
		if due := p.due; mode == HealAuto && p.tries < healTries && (out.Next == nil || due.Before(*out.Next)) {
			out.Next = &due
		}
		if p.err != "" && out.Error == nil {
			out.Error = &p.err
		}
	}
	st.Heal = &out
	if first == nil {
		return
	}
	text := "damage is known and not healed: "
	if first.Blob && first.Oid != nil && first.Tid != nil {
		text += fmt.Sprintf("the blob of oid %v tid %v: ", *first.Oid, *first.Tid)
	}
	text += first.Found
	if mode == HealAsk {
		text += "; zrsd heal replaces it by what another node has"
	} else if out.Error != nil {
		text += "; healing failed: " + *out.Error
	}
	st.Troubles = append(st.Troubles, admin.Trouble{Code: warning.Damaged, Since: first.since, Text: text})
}

// heal heals parts of the open storage.
func (c *Config) heal(ctx context.Context, suspects []verify.Suspect, by string, dry bool) (report *heal.Report,
	err error) {
	err = c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
		own, is := st.(*filestorage.Storage)
		v := c.verifiable.Load()
		switch {
		case !is:
			return &admin.Refusal{Reason: admin.NotAllowed,
				Text: "the storage belongs to the process that this one is attached to: heal it there"}
		case v == nil:
			return errNotOpen
		case c.onlyRead:
			return &admin.Refusal{Reason: admin.NotAllowed, Text: "the storage is open for reading only"}
		}
		report, err = heal.Run(ctx, c.healOptions(v, own, by, dry), suspects)
		return err
	})
	return report, err
}

func (c *Config) healOptions(v *verifiable, st *filestorage.Storage, by string, dry bool) heal.Options {
	opt := heal.Options{
		FS: c.FS, Path: c.Data, Target: st, Boundary: st.Boundary, By: by, Dry: dry, Logger: c.Logger.Named("heal"),
		Committed: v.committed, Kept: c.keptChain, MaxBlob: protocol.Limits{}.WithDefaults().MaxBlob,
	}
	if v.chain != nil {
		opt.Kept = func() (state.Chain, error) { return v.chain.Kept(), nil }
	}
	if v.blobs.own != nil && !v.blobs.cached() && v.blobs.own.Here() == nil {
		v.blobs.written()
		opt.Blobs = v.blobs.own.AsIs()
	}
	if v.peers != nil {
		opt.Peers = c.healPeers(append(v.peers(), v.others()...))
	}
	return opt
}

// keptChain is the hash chain in the state file, of a storage that keeps none in memory.
func (c *Config) keptChain() (state.Chain, error) {
	s, err := state.Load(c.FS, c.Data)
	if err != nil {
		return state.Chain{}, err
	}
	return s.Chain, nil
}

// healPeers are other nodes as those that give what is damaged here, in the order in which they are asked.
func (c *Config) healPeers(addresses []string) (peers []heal.Peer) {
	for i, addr := range addresses {
		if slices.Contains(addresses[:i], addr) {
			continue
		}
		peers = append(peers, heal.Peer{Name: addr, Ask: func(ctx context.Context) (*hashchain.Remote, error) {
			dial := func(ctx context.Context) (net.Conn, error) { return c.dialServer(ctx, addr) }
			return hashchain.Dial(ctx, dial, c.read.secret, c.name()+" (heal)")
		}})
	}
	return peers
}

// healNow verifies the open storage and heals what it finds, as an operator asks for it.
func (c *Config) healNow(ctx context.Context, req admin.HealRequest, progress func(admin.VerifyProgress)) (heal.Report,
	error) {
	h := c.healer
	select {
	case h.working <- struct{}{}:
		defer func() { <-h.working }()
	default:
		return heal.Report{}, &admin.Refusal{Reason: admin.Busy, Text: "the storage is being healed already"}
	}
	ask := admin.VerifyRequest{Rate: req.Rate, AllBlobs: true}
	report, pass, err := heal.Rounds(ctx, req.DryRun, func(ctx context.Context) (*verify.Pass, error) {
		pass, err := c.verify(ctx, ask, progress)
		ask.AllBlobs = missedBlobs(&pass)
		return &pass, err
	}, func(ctx context.Context, found []verify.Suspect) (*heal.Report, error) {
		report, err := c.heal(ctx, found, "zrsd heal", req.DryRun)
		if report == nil || req.DryRun {
			return report, err
		}
		h.settle(report)
		return report, err
	})
	if report == nil {
		return heal.Report{}, err
	}
	report.Damages = pass.Damages
	return *report, err
}

// maxClosedHeals bounds how often a file that cannot be opened is healed in a row.
const maxClosedHeals = 1000

// healsClosed heals a data file that could not be opened because of damage, if this node heals by itself, and reports
// whether it is to be opened again.
func (s *session) healsClosed(ctx context.Context, err error) bool {
	auto := s.c.Heal == HealAuto
	if id, broken := state.Load(s.c.FS, s.c.Data); broken == nil && s.c.Heal != HealAsk {
		auto = auto || s.isCopy(id)
	}
	if err == nil || !auto || s.c.healer == nil {
		return false
	}
	var addresses []string
	for _, e := range s.cfg.ReplicateFrom {
		addresses = append(addresses, e.String())
	}
	return s.c.healClosed(ctx, err, addresses)
}

// missedBlobs reports whether a pass did not come to the blobs, because of damage before them.
func missedBlobs(pass *verify.Pass) bool { return pass.Blobs == 0 && pass.BlobsSkipped == nil }

// healClosed heals a data file that could not be opened, from one of some nodes. It reports whether opening it again
// makes sense.
func (c *Config) healClosed(ctx context.Context, opened error, addresses []string) bool {
	suspect, is := heal.SuspectOf(c.Data, opened)
	if !is || len(addresses) == 0 {
		return false
	}
	log := c.Logger.Named("heal")
	file := &heal.ClosedFile{FS: c.FS, Path: c.Data, Logger: log}
	report, err := heal.Run(ctx, heal.Options{
		FS: c.FS, Path: c.Data, Target: file, Boundary: file.Boundary, By: "the start", Logger: log, Kept: c.keptChain,
		Peers: c.healPeers(addresses),
	}, []verify.Suspect{suspect})
	if err != nil || report.Healed == 0 {
		log.Error("the storage cannot be opened, and its damage could not be healed", "file", c.Data, "at",
			suspect.From, "error", err, "warning", warning.Damaged)
		return false
	}
	c.healer.settle(report)
	return true
}
