package node

import (
	"context"
	"slices"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// leaderFor returns where the primary is, when the node at an address has refused this one: that may be a secondary
// that feeds others. All members that are known are asked, and then those that they say they follow. Where nobody says
// that it leads, the primary is taken to be the one that has refused.
func (r *replica) leaderFor(ctx context.Context, refused string) string {
	asked := []string{r.replicationAddr}
	next := append([]string{refused}, r.others()...)
	for range protocol.MaxUpstreamPath {
		next = slices.DeleteFunc(next, func(addr string) bool { return addr == "" || slices.Contains(asked, addr) })
		slices.Sort(next)
		next = slices.Compact(next)
		if len(next) == 0 || len(asked) > state.MaxMembers {
			break
		}
		answers := r.ask(ctx, 0, next)
		asked = append(asked, next...)
		next = nil
		for _, a := range answers {
			switch p := a.status; {
			case p == nil:
			case p.IsPrimary && len(p.Epochs) > 0 && r.isLatest(p.Epochs[len(p.Epochs)-1].Number):
				return a.addr
			case len(p.UpstreamAddr) <= maxAddress:
				next = append(next, clean(p.UpstreamAddr))
			}
		}
	}
	return refused
}

// maxAddress is how many bytes an address has that another node has told.
const maxAddress = 300
