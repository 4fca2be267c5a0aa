package primary

import (
	"context"

	"github.com/zrsd/zrsd/protocol"
)

// authenticate takes the first message of a secondary and returns its hello, which is the same one where there is no
// secret, and otherwise what follows when both sides have proved theirs. Not to do so is a *protocol.Refusal, which
// the caller sends.
func (c *peer) authenticate(ctx context.Context, control *protocol.Control, first any) (hello any, err error) {
	proposal, proposed := first.(*protocol.Authenticate)
	secret := c.p.opt.Secret
	switch {
	case len(secret) == 0 && proposed:
		return nil, refuse(protocol.CodeNotAuthorised, 0, "this secondary has a shared secret and the primary has "+
			"none; give the primary the same --secret-file, or start the secondary without")
	case len(secret) == 0:
		return first, nil
	case !proposed:
		return nil, refuse(protocol.CodeNotAuthorised, 0, "the primary lets in only who has its shared secret; start "+
			"the secondary with --secret-file")
	}
	if err := secret.Demand(ctx, control, proposal); err != nil {
		return nil, err
	}
	c.guard.Allow(helloBytes)
	control.Limit(helloBytes)
	return control.Receive(ctx)
}

// checkSecret refuses every protocol but the native one when there is a secret, for which they have no room.
func (p *Primary) checkSecret(proto string) *protocol.Refusal {
	if len(p.opt.Secret) == 0 {
		return nil
	}
	return refuse(protocol.CodeNotAuthorised, 0, "a peer with the protocol %q cannot prove that it has the shared "+
		"secret; replace it by a zrsd secondary, or start this primary without --secret-file", clean(proto))
}
