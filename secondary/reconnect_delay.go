package secondary

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/protocol"
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
	finals     []bool   // by address: whether time does not mend that
	next       int      // into addresses
	tried      int      // since the last wait
	hope       bool     // since the last wait: an address that may do better by itself
	longest    time.Duration
	policy     *backoff.ExponentialBackOff
}

func newPace(opt Options) *reconnectDelay {
	ceiling := time.Duration(float64(opt.MaxBackoff) / (1 + spread))
	return &reconnectDelay{
		addresses: opt.Addresses, lastErrors: make([]string, len(opt.Addresses)),
		finals: make([]bool, len(opt.Addresses)), longest: opt.MaxBackoff,
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
	_, final := stateAfter(err)
	p.lastErrors[p.next], p.finals[p.next] = text, final || wrongAddress(err)
	if progress {
		p.policy.Reset()
		p.tried, p.hope = 0, false
		return p.policy.NextBackOff(), news
	}
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

// final returns err, the last error, where all addresses have given one that time does not mend.
func (p *reconnectDelay) final(err error) error {
	if slices.Contains(p.finals, false) {
		return nil
	}
	return err
}

// wrongAddress reports whether an error says that the address, or what this node proves itself with, is wrong.
func wrongAddress(err error) bool {
	var (
		other  *service.Error
		plain  tls.RecordHeaderError
		theirs *tls.CertificateVerificationError
		ours   *net.OpError
	)
	return errors.As(err, &other) || errors.Is(err, protocol.ErrEncrypted) || errors.As(err, &plain) ||
		errors.As(err, &theirs) || errors.As(err, &ours) && ours.Op == "remote error"
}
