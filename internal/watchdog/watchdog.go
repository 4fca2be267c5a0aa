// Package watchdog reports work that makes no progress.
//
// Code that may wait without end, for a disk, a lock or other nodes, has a Place on a Board, and notes there what it
// waits for and that the wait is over. A wait that is longer than Limit is a Stall. Nothing is decided here: a Dog logs
// stalls, a node shows them, and does not wait for them when it stops.
//
// All may be used concurrently. A nil Board has nil Places, which note nothing. The package starts no goroutine.
package watchdog

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/warning"
)

// Limit is for how long a wait is no stall.
const Limit = 10 * time.Second

// hungLimit is for how long a wait for this machine may last before nobody believes in its end.
const hungLimit = 3 * Limit

// A Stall is a wait that is too long.
type Stall struct {
	who      string // what waits, such as "a commit"
	waitsFor string // what for
	others   bool   // other processes have to end it
	Since    time.Time
}

// Hung reports whether the process should be started again: no other one has to end the wait, and it has lasted for so
// long that it will hardly end by itself.
func (s Stall) Hung(now time.Time) bool { return !s.others && now.Sub(s.Since) >= hungLimit }

func (s Stall) String() string { return fmt.Sprintf("%s waits for %s", s.who, s.waitsFor) }

// A Board has the waits of one storage.
type Board struct {
	mu     sync.Mutex
	places map[*Entry]struct{}
}

// An Entry is where one wait at a time is noted.
type Entry struct {
	board *Board
	who   string
	found func() (what string, since time.Time) // nil: what and since are noted

	mu     sync.Mutex
	what   string // empty: there is no wait
	others bool
	since  time.Time
}

// Entry adds a place for who, until Remove.
func (b *Board) Entry(who string) *Entry { return b.add(&Entry{who: who}) }

// Found adds a place whose wait is found out by calling f, which must be quick: since when who has waited, and what
// for; "" for nothing.
func (b *Board) Found(who string, f func() (what string, since time.Time)) *Entry {
	return b.add(&Entry{who: who, found: f})
}

func (b *Board) add(p *Entry) *Entry {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.places == nil {
		b.places = make(map[*Entry]struct{})
	}
	p.board = b
	b.places[p] = struct{}{}
	return p
}

// Remove takes the place off the board.
func (p *Entry) Remove() {
	if p == nil {
		return
	}
	p.board.mu.Lock()
	defer p.board.mu.Unlock()
	delete(p.board.places, p)
}

// Waits notes that a wait begins that this machine has to end: one for a disk or a lock. One for the same continues.
func (p *Entry) Waits(what string) { p.begin(what, false) }

// WaitsForOthers notes that a wait begins that other machines have to end. One for the same continues.
func (p *Entry) WaitsForOthers(what string) { p.begin(what, true) }

func (p *Entry) begin(what string, others bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what != what {
		p.what, p.others, p.since = what, others, time.Now()
	}
}

// Done notes that there is no wait.
func (p *Entry) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = ""
}

// stall returns the wait of now; one for nothing if there is none.
func (p *Entry) stall() Stall {
	if p.found != nil {
		what, since := p.found()
		return Stall{p.who, what, true, since} // why is not known here: what it waits for has a place of its own
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stall{p.who, p.what, p.others, p.since}
}

// Stalls returns the waits that are too long at a time, the longest first.
func (b *Board) Stalls(now time.Time) (list []Stall) {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.places {
		if s := p.stall(); s.waitsFor != "" && now.Sub(s.Since) >= Limit {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Stall) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.who, b.who), cmp.Compare(a.waitsFor, b.waitsFor))
	})
	return list
}

// tellEvery is how often a stall that lasts is logged.
const tellEvery = time.Minute

// A Dog logs the stalls of a board: when they begin, now and then while they last, and when they end. The log is
// bounded by the places on the board.
type Dog struct {
	board *Board
	log   hclog.Logger
	told  map[string]telling // by Who
}

type telling struct {
	stall Stall
	at    time.Time
}

// NewDog returns a Dog for a board.
func NewDog(b *Board, log hclog.Logger) *Dog {
	return &Dog{board: b, log: log, told: map[string]telling{}}
}

// Look logs the stalls of a time. It is for one goroutine, which calls it every second or so.
func (d *Dog) Look(now time.Time) {
	still := map[string]bool{}
	for _, s := range d.board.Stalls(now) {
		if still[s.who] { // of several the longest one is reported
			continue
		}
		still[s.who] = true
		if last, known := d.told[s.who]; known && last.stall.Since.Equal(s.Since) && now.Sub(last.at) < tellEvery {
			continue
		}
		d.log.Error("no progress: "+s.String(), "for", now.Sub(s.Since).Round(time.Second), "warning", warning.Stalled)
		d.told[s.who] = telling{s, now}
	}
	for who, last := range d.told {
		if !still[who] {
			delete(d.told, who)
			d.log.Info("progress again: "+last.stall.String()+" no longer", "after",
				now.Sub(last.stall.Since).Round(time.Second))
		}
	}
}
