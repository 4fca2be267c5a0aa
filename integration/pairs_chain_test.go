package integration

import (
	"strings"
	"testing"
)

// chains are three members each, who replicate each from the one before.
var chains = [][3]*software{
	{zcZRS, zrsdBy("auto"), zcZRS},
	{zrsdBy("auto"), zcZRS, zrsdBy("auto")},
	{zcZRS, zrsdBy("zrs2"), zrsdBy("native")},
}

func TestAMixedChainReplicatesToItsEndWhoeverIsKilled(t *testing.T) {
	t.Parallel()
	for _, chain := range chains {
		t.Run(nameOf(chain), func(t *testing.T) {
			t.Parallel()
			source, middle, end := newSite(t, true), newSite(t, true), newSite(t, true)
			a, b := freeAddress(t), freeAddress(t)
			first := chain[0].primary(t, source, a)
			second := chain[1].secondary(t, middle, a, b)
			third := chain[2].secondary(t, end, b, "")
			third.reach(t, everything(t, first))

			third.kill(t)
			last := first.do(t, "commit 5")
			third = chain[2].secondary(t, end, b, "")
			third.reach(t, last)

			second.kill(t)
			last = first.do(t, "commit 5")
			second = chain[1].secondary(t, middle, a, b)
			third.reach(t, last)

			first.kill(t)
			first = chain[0].primary(t, source, a)
			third.reach(t, first.do(t, "large"))

			third.stop(t)
			second.stop(t)
			first.stop(t)
			mustBeReplicated(t, source, middle, chain[1])
			mustBeReplicated(t, source, end, chain[1], chain[2])
		})
	}
}

func nameOf(chain [3]*software) string {
	var names []string
	for _, member := range chain {
		names = append(names, member.name)
	}
	return strings.Join(names, " to ")
}
