package archive

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A Generation is what an archive has of one data file.
type Generation struct {
	*Path
	Complete    bool
	End         Place
	LastWritten time.Time // of its last segment; zero: it has none
}

// Generations returns all, in order.
func (a *Archive) Generations(ctx context.Context) (list []*Generation, err error) {
	numbers, err := a.numbers(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		g, err := a.generation(ctx, n)
		if missing(err) { // it was deleted meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

func (a *Archive) generation(ctx context.Context, n uint64) (*Generation, error) {
	m, err := a.manifest(ctx, n)
	if err != nil {
		return nil, err
	}
	p, err := a.path(ctx, m)
	if err != nil {
		return nil, err
	}
	g := &Generation{Path: p}
	head, err := p.head(ctx)
	if err != nil {
		return nil, err
	}
	if head != nil {
		g.End, g.LastWritten = head.place(), head.Written
	}
	g.Complete = g.End.End > 0 && g.End.End >= m.Whole
	return g, nil
}

// Latest is the moment of the last transaction.
const Latest = ^zodb.Tid(0)

// A NoMomentError says that a moment cannot be restored.
type NoMomentError struct {
	Tid zodb.Tid
	Why string
}

func (e *NoMomentError) Error() string {
	if e.Tid == Latest {
		return "nothing can be restored: " + e.Why
	}
	return fmt.Sprintf("the moment of transaction %v (%s) cannot be restored: %s", e.Tid,
		e.Tid.Time().UTC().Format("2006-01-02 15:04:05Z"), e.Why)
}

// of returns the generation from which a moment is restored: the newest one that is complete and had begun then. Where
// a promotion has left transactions behind, no earlier one is asked for what came after, and the moment is the last one
// before.
func of(list []*Generation, tid zodb.Tid) (*Generation, zodb.Tid, error) {
	var later *Generation
	for i := len(list) - 1; i >= 0; i-- {
		g := list[i]
		switch {
		case !g.Complete && g.Lost():
			tid = min(tid, g.Since)
		case !g.Complete:
		case tid >= g.Since && (later == nil || tid <= g.End.Highest):
			return g, tid, nil
		case tid >= g.Since: // what was committed between the two is in the later one only
			return later, tid, nil
		default:
			later = g
		}
	}
	why := "the archive has no complete generation yet"
	if later != nil {
		why = fmt.Sprintf("the oldest generation that is kept begins after transaction %v", later.Since)
	}
	return nil, 0, &NoMomentError{tid, why}
}

// GenerationAt returns the generation from which a moment is read, and the tid up to which it goes there. settled says
// that nothing more of the moment will come.
func (a *Archive) GenerationAt(ctx context.Context, tid zodb.Tid) (g *Generation, at zodb.Tid, settled bool,
	err error) {
	list, err := a.Generations(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	g, at, err = of(list, tid)
	if err != nil {
		return nil, 0, false, err
	}
	return g, at, at < g.End.Highest || g != list[len(list)-1], nil
}

// Newest returns the number of the newest generation, complete or not; 0: there is none.
func (a *Archive) Newest(ctx context.Context) (uint64, error) {
	numbers, err := a.numbers(ctx)
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	return numbers[len(numbers)-1], nil
}

// MomentIn is the moment of a generation.
func (g *Generation) MomentIn(ctx context.Context, tid zodb.Tid) (*Moment, error) {
	return g.moment(ctx, tid)
}

// A Moment is a data file as it was, and where it is in the archive.
type Moment struct {
	*Generation
	Segments uint64   // with which it ends; of the last one perhaps a part
	Tid      zodb.Tid // its last transaction
	Size     int64    // where that ends

	later map[zodb.Tid]bool // transactions of the last segment that come after it
}

// Moment returns the file as it was after the last transaction at or before tid. exact: that has to be tid itself.
func (a *Archive) Moment(ctx context.Context, tid zodb.Tid, exact bool) (*Moment, error) {
	list, err := a.Generations(ctx)
	if err != nil {
		return nil, err
	}
	g, at, err := of(list, tid)
	if err != nil {
		return nil, err
	}
	m, err := g.moment(ctx, at)
	if err == nil && exact {
		err = m.is(tid)
	}
	return m, err
}

// MomentOf is Moment in a certain generation, complete or not.
func (a *Archive) MomentOf(ctx context.Context, generation uint64, tid zodb.Tid, exact bool) (*Moment, error) {
	g, err := a.generation(ctx, generation)
	if err != nil {
		return nil, fmt.Errorf("generation %d of the archive: %w", generation, err)
	}
	m, err := g.moment(ctx, tid)
	if err == nil && exact {
		err = m.is(tid)
	}
	return m, err
}

// is returns an error where a moment is not that of a certain transaction.
func (m *Moment) is(tid zodb.Tid) error {
	if tid == Latest || m.Tid == tid {
		return nil
	}
	return &NoMomentError{tid, fmt.Sprintf("generation %d has no such transaction; the one before it is %v. What a "+
		"promotion has left behind, and what a pack has removed, is in earlier generations: see zrsd archive "+
		"list, and "+
		"--generation", m.Generation.Generation, m.Tid)}
}

func (g *Generation) moment(ctx context.Context, tid zodb.Tid) (m *Moment, err error) {
	m = &Moment{Generation: g, Segments: g.Len(), Tid: g.End.Last, Size: g.End.End}
	switch {
	case g.Len() == 0:
	case tid < g.End.Highest:
		i, err := g.reaching(ctx, tid)
		if err != nil {
			return nil, err
		}
		m.Segments = i + 1
		err = m.cut(ctx, tid)
		if err != nil {
			return nil, err
		}
	case g.End.End < g.End.To: // a transaction too large for one segment is on its way
		if err := m.cut(ctx, Latest); err != nil {
			return nil, err
		}
	}
	if m.Tid == 0 {
		return nil, &NoMomentError{tid, fmt.Sprintf("it is before the first transaction of generation %d",
			g.Generation)}
	}
	return m, nil
}

// cut ends a moment within its last segment, before the first transaction above tid.
func (m *Moment) cut(ctx context.Context, tid zodb.Tid) error {
	first := m.Segments - 1
	m.Tid, m.Size = 0, 0
	if first > 0 {
		before, err := m.Header(ctx, first-1)
		if err != nil {
			return err
		}
		m.Tid, m.Size = before.Last, before.End
	}
	for first > 0 { // a large transaction may have begun segments ago
		h, err := m.Header(ctx, first)
		if err != nil {
			return err
		}
		if h.From <= m.Size {
			break
		}
		first--
	}
	scan := newScanner(nil, m.Size)
	for ; first < m.Segments; first++ {
		s, err := m.archive.segment(ctx, m.ID(first))
		if err != nil {
			return err
		}
		if s.Bytes == nil {
			return ErrNoIdentity
		}
		if err := scan.take(s.Bytes[max(scan.offset-s.From, 0):]); err != nil {
			return damaged(s.ID.name(), "%v", err)
		}
	}
	for _, e := range scan.ends {
		if e.Tid > tid {
			break
		}
		m.Tid, m.Size = e.Tid, e.End
	}
	m.later = map[zodb.Tid]bool{}
	for _, e := range scan.begins {
		if e.End >= m.Size {
			m.later[e.Tid] = true
		}
	}
	return m.shorten(ctx)
}

// shorten leaves out segments of which nothing is needed.
func (m *Moment) shorten(ctx context.Context) error {
	for m.Segments > 0 {
		h, err := m.Header(ctx, m.Segments-1)
		if err != nil || h.From < m.Size {
			return err
		}
		m.Segments--
	}
	return nil
}
