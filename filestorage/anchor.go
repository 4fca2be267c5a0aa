package filestorage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/zodb"
)

// Anchor goes back from the end of the file to the last transaction whose tid is below those of all after it, and
// returns its tid, 0 for the start of the file, and the transactions after it in the order of the file. Nearly always
// this is one, the last. Where tids go down there are more, and a request for everything after that tid gives the same
// position for every kind of search. More than 20,000 are an error that wraps zodb.ErrNoTid.
func (s *Storage) Anchor(ctx context.Context) (tid zodb.Tid, behind []Neighbour, err error) {
	src := s.source()
	p, err := src.headerCursor()
	if err == nil {
		tid, behind, err = p.anchor(ctx)
	}
	return tid, behind, errors.Join(err, src.release())
}

func (p *headerCursor) anchor(ctx context.Context) (tid zodb.Tid, behind []Neighbour, err error) {
	var lowest zodb.Tid
	for len(behind) <= maxStray {
		if p.pos == magicLen {
			slices.Reverse(behind)
			return 0, behind, nil
		}
		if err := context.Cause(ctx); err != nil {
			return 0, nil, err
		}
		if err := p.prev(); err != nil {
			return 0, nil, err
		}
		here := Neighbour{p.txn.Tid, p.txn.Status}
		if len(behind) > 0 && here.Tid < lowest {
			slices.Reverse(behind)
			return here.Tid, behind, nil
		}
		if len(behind) == 0 || here.Tid < lowest {
			lowest = here.Tid
		}
		behind = append(behind, here)
	}
	return 0, nil, fmt.Errorf("of the last %d transactions of %s none is below all that come after it: %w", maxStray,
		p.src.path,
		zodb.ErrNoTid)
}
