package secondary

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// spread is by how much a wait is made shorter or longer at random, so that many secondaries do not return together.
const spread = 0.5

// A reconnectDelay decides which address is tried next and how long to wait before that. All addresses are tried in
// turn without a wait; then comes one, longer after each round, and the longest when no address of the round gives
// hope.
//
// An error that looks final counts when the same address gives the same one again: the first may come from a damaged
// handshake.
type reconnectDelay struct {
	addresses  []string
	lastErrors []string // by address: the last error
	next       int      // into addresses
	tried      int      // since the last wait
	hope       bool     // since the last wait: an address that may do better by itself
	longest    time.Duration
	policy     *backoff.ExponentialBackOff
}

func newPace(opt Options) *reconnectDelay {
	ceiling := time.Duration(float64(opt.MaxBackoff) / (1 + spread))
	return &reconnectDelay{
		addresses: opt.Addresses, lastErrors: make([]string, len(opt.Addresses)), longest: opt.MaxBackoff,
		policy: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(min(opt.MinBackoff, ceiling)),
			backoff.WithRandomizationFactor(spread),
			backoff.WithMultiplier(2),
			backoff.WithMaxInterval(ceiling),
			backoff.WithMaxElapsedTime(0), // never gives up
		),
	}
}

// address is the one to try now.
func (p *reconnectDelay) address() string { return p.addresses[p.next] }

// failed notes that the connection to the present address came to an end, and returns how long to wait before the next
// one is tried, and whether the error is another than this address gave before. After progress all begins anew, with
// the same address.
func (p *reconnectDelay) failed(err error, progress bool) (wait time.Duration, news bool) {
	text := err.Error()
	news = progress || text != p.lastErrors[p.next]
	p.lastErrors[p.next] = text
	if progress {
		p.policy.Reset()
		p.tried, p.hope = 0, false
		return p.policy.NextBackOff(), news
	}
	_, final := stateAfter(err)
	p.hope = p.hope || news || !final
	p.next = (p.next + 1) % len(p.addresses)
	if p.tried++; p.tried < len(p.addresses) {
		return 0, news
	}
	if !p.hope {
		wait = p.longest
	} else {
		wait = p.policy.NextBackOff()
	}
	p.tried, p.hope = 0, false
	return wait, news
}
