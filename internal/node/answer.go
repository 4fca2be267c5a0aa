package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// A load that meets damage is answered by what another node has. The bytes are proved as those of a repair are, and are
// kept in memory only: who heals, and when, is not changed by it.
const (
	answerWithin = 10 * time.Second // for all other nodes; clients of ZEO wait for 30 s
	answerPeer   = 4 * time.Second  // for each of them
	answerAgain  = 5 * time.Second  // after which other nodes are asked again for what none had
	answersAsked = 4                // places that are asked for at a time
	answersKept  = 1000             // of which it is remembered that no node had them
)

// answers are the places of a data file that loads ask other nodes for. Loads of one place ask once.
type answers struct {
	asking chan struct{} // a slot for each place

	mu     sync.Mutex
	places map[partKey]*placeAsked
	loads  int64 // that were answered
	failed int64 // that were not
}

// A placeAsked is a place that is, or was, asked for.
type placeAsked struct {
	done  chan struct{} // closed when it is known what became of it
	right bool          // what has to be there is known
	left  bool          // who has asked has left before that was known
	ended time.Time
}

func newAnswers() *answers {
	return &answers{asking: make(chan struct{}, answersAsked), places: map[partKey]*placeAsked{}}
}

// ask has ask called for a place, unless that is under way, or has just failed, and returns whether it was successful.
func (a *answers) ask(ctx context.Context, place partKey, ask func(context.Context) bool) bool {
	for {
		p, mine := a.place(place)
		if mine {
			a.end(ctx, place, p, a.slot(ctx, ask))
		}
		select {
		case <-p.done:
			if !p.left || ctx.Err() != nil {
				return p.right
			}
		case <-ctx.Done():
			return false
		}
	}
}

// place returns what is known of a place, and whether the caller is to ask for it.
func (a *answers) place(place partKey) (p *placeAsked, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	if p = a.places[place]; p != nil {
		return p, false
	}
	p = &placeAsked{done: make(chan struct{})}
	a.places[place] = p
	return p, true
}

// slot calls ask when it is its turn.
func (a *answers) slot(ctx context.Context, ask func(context.Context) bool) bool {
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
		return ask(ctx)
	case <-ctx.Done():
		return false
	}
}

// end notes what became of a place. It is remembered only that no node had it: what is known now is met again after a
// pack, and who has left has not asked all nodes.
func (a *answers) end(ctx context.Context, place partKey, p *placeAsked, right bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.right, p.left, p.ended = right, errors.Is(ctx.Err(), context.Canceled), time.Now()
	if right || p.left {
		delete(a.places, place)
	}
	close(p.done)
}

// forget drops what has failed long ago, and all of that where it is too much. It is called with mu held.
func (a *answers) forget() {
	for k, p := range a.places {
		if !p.ended.IsZero() && (time.Since(p.ended) > answerAgain || len(a.places) >= answersKept) {
			delete(a.places, k)
		}
	}
}

func (a *answers) count(right bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if right {
		a.loads++
	} else {
		a.failed++
	}
}

// counts returns how many loads were answered, and how many were not.
func (a *answers) counts() (answered, failed int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loads, a.failed
}

// correct is zeo.StorageOptions.Correct.
func (h *healer) correct(ctx context.Context, st *filestorage.Storage, damage error) bool {
	s, ok := heal.SuspectOf(h.c.Data, damage)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	right := h.answers.ask(ctx, keyOf(&s), func(ctx context.Context) bool {
		err := h.c.correct(ctx, st, s)
		if err != nil {
			h.log.Warn("a load met damage, and no other node could answer it", "file", h.c.Data, "offset", s.From,
				"found", s.Found, "error", err, "warning", warning.Damaged)
		}
		return err == nil
	})
	h.answers.count(right)
	return right
}

// correct has the readers of objects see what has to be at a place, by what another node has. Nothing is written.
func (c *Config) correct(ctx context.Context, st *filestorage.Storage, s verify.Suspect) error {
	v := c.verifiable.Load()
	if v == nil {
		return errNotOpen
	}
	return st.Correct(func(disk vfs.FS) (part filestorage.Part, patches []filestorage.Patch, err error) {
		opt := c.healOptions(v, st, "a load", true)
		opt.FS, opt.Patience, opt.Logger = disk, answerPeer, nil
		opt.Proved = func(p filestorage.Part, with []filestorage.Patch) { part, patches = p, with }
		report, err := heal.Run(ctx, opt, []verify.Suspect{s})
		if err != nil {
			return part, nil, err
		}
		item := &report.Items[0]
		if item.Result == heal.Failed {
			return part, nil, errors.New(*item.Error)
		}
		if item.Peer != nil {
			c.healer.log.Warn("loads of a damaged part are answered by what another node has", "file", c.Data, "offset",
				item.Offset, "length", item.Length, "found", s.Found, "peer", *item.Peer, "warning", warning.Damaged)
		}
		return part, patches, nil
	})
}

// healOne heals one part, when nobody else heals, and reports whether it is right now.
func (h *healer) healOne(ctx context.Context, s verify.Suspect) bool {
	select {
	case h.working <- struct{}{}:
		defer func() { <-h.working }()
	case <-ctx.Done():
		return false
	}
	report, err := h.c.heal(ctx, []verify.Suspect{s}, "a load", false)
	if report == nil {
		return false
	}
	h.settle(report)
	return err == nil && report.Failed == 0
}
