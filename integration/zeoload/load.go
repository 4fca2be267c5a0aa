package zeoload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// Loads keeps depth loads of random objects with oids from 1 to objects in flight on every connection, for d. There
// must be at least depth objects.
func Loads(ctx context.Context, conns []*client.Conn, objects, depth int, d time.Duration) (*Outcome, error) {
	until := time.Now().Add(d)
	return play(ctx, conns, func(ctx context.Context, c *client.Conn, i int) ([]time.Duration, error) {
		l := &loader{
			objects: objects, rng: rand.New(rand.NewPCG(1, uint64(i))), first: depth, now: time.Now(),
			until: until,
		}
		err := c.Loads(ctx, depth, l.next, l.got)
		return l.took, errors.Join(err, l.failed)
	})
}

// A loader chooses the objects for one connection.
type loader struct {
	objects int
	rng     *rand.Rand
	first   int       // loads of the beginning that are yet to come: they are made even when the time is over
	now     time.Time // when the last answer came
	until   time.Time
	oids    []zodb.Oid // loads in flight, as few as are found faster here than in a map
	begun   []time.Time
	took    []time.Duration
	failed  error
}

// next asks for an object that is not being loaded already.
func (l *loader) next() (oid zodb.Oid, more bool) {
	if l.first--; l.first < 0 && (l.failed != nil || !l.now.Before(l.until)) {
		return 0, false
	}
	for {
		oid := zodb.Oid(1 + l.rng.IntN(l.objects))
		if !slices.Contains(l.oids, oid) {
			l.oids, l.begun = append(l.oids, oid), append(l.begun, l.now)
			return oid, true
		}
	}
}

func (l *loader) got(oid zodb.Oid, _ client.Revision, err error) {
	if err != nil {
		l.failed = errors.Join(l.failed, fmt.Errorf("load of oid %v: %w", oid, err))
		return
	}
	i := slices.Index(l.oids, oid)
	l.now = time.Now()
	l.took = append(l.took, l.now.Sub(l.begun[i]))
	last := len(l.oids) - 1
	l.oids[i], l.begun[i] = l.oids[last], l.begun[last]
	l.oids, l.begun = l.oids[:last], l.begun[:last]
}
