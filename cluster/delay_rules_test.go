package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A promotion says how much it makes seen. One that would show what an operator holds back is refused, by command and
// by switchover, until that is let go; an epoch lets it go.
func TestAPromotionOfADelayedSecondarySaysWhatItShows(t *testing.T) {
	for name, c := range map[string]struct {
		held, force bool
		refused     bool
	}{
		"a delayed secondary":            {},
		"one that is held":               {held: true, refused: true},
		"one that is held, all the same": {held: true, force: true},
	} {
		n, _, _ := standing(t, func(opt *Options) {
			opt.ApplyDelay, opt.ReplicateFrom = time.Hour, nil
			opt.Shown = func() zodb.Tid { return opt.Storage.LastTid() - 1 }
		})
		if c.held {
			update(n, func(id *state.State) { id.ApplyUntil = n.st.LastTid() - 1 })
		}
		err := n.CheckHandover(&protocol.HandoverCheck{Epoch: n.keep.State().Highest() + 1, Last: n.st.LastTid()})
		if held := err != nil && strings.Contains(err.Error(), "apply-until --resume first"); held != c.held {
			t.Errorf("%s: a handover is answered with %v", name, err)
		}
		out, err := n.Promote(t.Context(), admin.PromoteRequest{Force: c.force}, func(admin.Step) {})
		if refused := err != nil && strings.Contains(err.Error(), "apply-until --resume first"); refused != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused {
			continue
		}
		const says = ": 1 later transactions, over 0s, become seen"
		if err != nil || !strings.Contains(strings.Join(out.Steps, "; "), says) {
			t.Errorf("%s: %q, %v", name, out.Steps, err)
		}
		if until := n.keep.State().ApplyUntil; until != 0 {
			t.Errorf("%s: the primary is held at %v", name, until)
		}
	}
}
