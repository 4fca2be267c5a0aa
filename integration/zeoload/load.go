package zeoload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Loads keeps depth loads of random objects with oids from 1 to objects in flight on every connection, for d. There
// must be at least depth objects.
func Loads(ctx context.Context, conns []*Conn, objects, depth int, d time.Duration) (*Outcome, error) {
	until := time.Now().Add(d)
	return play(ctx, conns, func(c *Conn, i int) ([]time.Duration, error) {
		l := loader{c: c, objects: objects, dice: rand.New(rand.NewPCG(1, uint64(i))), call: loadCall(0),
			begun: make(map[zodb.Oid]time.Time, depth)}
		now := time.Now()
		for range depth {
			l.load(now)
		}
		return l.run(until)
	})
}

type loader struct {
	c       *Conn
	objects int
	dice    *rand.Rand
	call    []byte                 // the message, whose oid changes
	begun   map[zodb.Oid]time.Time // loads in flight
	took    []time.Duration
}

// load asks for an object that is not being loaded already: ids must differ.
func (l *loader) load(now time.Time) {
	for {
		oid := zodb.Oid(1 + l.dice.IntN(l.objects))
		if _, running := l.begun[oid]; !running {
			l.begun[oid] = now
			retarget(l.call, oid)
			l.c.send(l.call)
			return
		}
	}
}

func (l *loader) run(until time.Time) ([]time.Duration, error) {
	for len(l.begun) > 0 {
		a, err := l.c.answer()
		if err != nil {
			return nil, err
		}
		begun, ours := l.begun[a.oid]
		if !ours || a.failed {
			return nil, fmt.Errorf("load of oid %v: asked for: %v, failed: %v: %q", a.oid, ours, a.failed, a.rest)
		}
		now := time.Now()
		l.took = append(l.took, now.Sub(begun))
		delete(l.begun, a.oid)
		if now.Before(until) {
			l.load(now)
		}
	}
	return l.took, nil
}
