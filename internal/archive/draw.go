package archive

import (
	"context"

	"github.com/zrsd/zrsd/zodb"
)

// Draw returns a moment that can be restored: of a segment that is drawn, a tid that is drawn, and then the last
// transaction at or before it, which is hardly ever the latest one. draw returns a number below n.
func (a *Archive) Draw(ctx context.Context, draw func(n uint64) uint64) (*Moment, error) {
	list, err := a.Generations(ctx)
	if err != nil {
		return nil, err
	}
	latest, _, err := of(list, Latest)
	if err != nil {
		return nil, err
	}
	i, err := latest.after(ctx, func(h *Header) bool { return h.Last != 0 })
	if err != nil {
		return nil, err
	}
	i += draw(latest.Len() - i) // in the first ones of a large transaction no moment ends
	var tid zodb.Tid
	if i == 0 {
		tid, err = latest.drawFirst(ctx, draw)
	} else {
		tid, err = latest.drawBetween(ctx, i, draw)
	}
	if err != nil {
		return nil, err
	}
	return a.Moment(ctx, tid, false)
}

// drawFirst draws one of the transactions of the first segment.
func (g *Generation) drawFirst(ctx context.Context, draw func(uint64) uint64) (zodb.Tid, error) {
	s, err := g.archive.segment(ctx, g.ID(0))
	if err != nil {
		return 0, err
	}
	if s.Bytes == nil {
		return 0, ErrNoIdentity
	}
	scan := newScanner(nil, 0)
	if err := scan.take(s.Bytes); err != nil {
		return 0, damaged(s.ID.name(), "%v", err)
	}
	return scan.ends[draw(uint64(len(scan.ends)))].Tid, nil
}

// drawBetween draws a tid between the highest one before a segment and the highest one in it.
func (g *Generation) drawBetween(ctx context.Context, i uint64, draw func(uint64) uint64) (zodb.Tid, error) {
	h, err := g.Header(ctx, i)
	if err != nil {
		return 0, err
	}
	before, err := g.Header(ctx, i-1)
	if err != nil || before.Highest == 0 || h.Highest <= before.Highest {
		return h.Highest, err
	}
	return before.Highest + 1 + zodb.Tid(draw(uint64(h.Highest-before.Highest))), nil
}

// HistoryThere is the hash chain over transactions after the last transaction of a moment, as the node said that wrote
// it; count 0: the archive does not have it for this moment.
func (m *Moment) HistoryThere(ctx context.Context) (History, error) {
	h, err := m.Header(ctx, m.Segments-1)
	if err != nil || h.Last != m.Tid {
		return History{}, err
	}
	return h.History, nil
}
