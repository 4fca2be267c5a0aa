package protocol

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrUnproven says that the primary did not prove that it has the secret.
var ErrUnproven = errors.New("the primary cannot prove that it has the shared secret: check the address, and give " +
	"both sides the same secret file")

// A Secret is known to both sides and never sent. Empty stands for none.
//
//	secondary                            primary
//	    │ -- authenticate {nonce s} -------> │
//	    │ <---- challenge {nonce p} -------- │
//	    │ -- proof {mac "secondary"} ------> │   compares, refuses or
//	    │ <---- proof {mac "primary"} ------ │
//	    │ -- hello …                         │
//
// The secondary proves first: whoever just connects to a primary gets nothing to guess secrets with. Both nonces are
// new on every connection, so nothing that was heard can be said again, and the role is part of what is proved, so
// no side can be given its own proof back.
type Secret []byte

// String keeps a secret out of logs.
func (Secret) String() string { return "(secret)" }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// A Nonce is random and used once.
type Nonce [32]byte

func newNonce() (n Nonce) {
	_, _ = rand.Read(n[:]) // never fails: crypto/rand ends the process instead
	return n
}

// A MAC proves the knowledge of a secret: see Secret.mac.
type MAC [sha256.Size]byte

// A Role is the side that proves something.
type Role string

// The two sides.
const (
	RoleSecondary Role = "secondary"
	RolePrimary   Role = "primary"
)

// macLabel keeps a MAC of this exchange apart from every other use of the same secret.
const macLabel = Native + " shared secret"

// mac is what a side sends as its proof: HMAC-SHA256, with the secret as its key, over
//
//	"zrsd/1 shared secret" 0 role 0 nonce of the secondary, nonce of the primary
func (s Secret) mac(role Role, secondary, primary Nonce) (m MAC) {
	h := hmac.New(sha256.New, s)
	for _, part := range [][]byte{[]byte(macLabel), {0}, []byte(role), {0}, secondary[:], primary[:]} {
		h.Write(part)
	}
	h.Sum(m[:0])
	return m
}

// proved compares in constant time.
func (s Secret) proved(role Role, secondary, primary Nonce, m MAC) bool {
	want := s.mac(role, secondary, primary)
	return hmac.Equal(want[:], m[:])
}

// Present is the secondary's side, before its hello. The error is the primary's *Refusal, or ErrUnproven.
func (s Secret) Present(ctx context.Context, c *Control) error {
	own := newNonce()
	if err := c.Send(&Authenticate{Nonce: own}); err != nil {
		return err
	}
	challenge, err := receiveAs[*Challenge](ctx, c)
	if err != nil {
		return err
	}
	if err := c.Send(&Proof{s.mac(RoleSecondary, own, challenge.Nonce)}); err != nil {
		return err
	}
	proof, err := receiveAs[*Proof](ctx, c)
	if err != nil {
		return err
	}
	if !s.proved(RolePrimary, own, challenge.Nonce, proof.MAC) {
		return ErrUnproven
	}
	return nil
}

// receiveAs expects one kind of message from a primary.
func receiveAs[T any](ctx context.Context, c *Control) (want T, err error) {
	msg, err := c.Receive(ctx)
	if err != nil {
		return want, err
	}
	switch m := msg.(type) {
	case T:
		return m, nil
	case *Refusal:
		return want, m
	}
	return want, fmt.Errorf("%w (it answered with a %T)", ErrUnproven, msg)
}

// Demand is the primary's side, once the secondary has begun. When the secondary does not prove itself the error is a
// *Refusal, which the caller sends.
func (s Secret) Demand(ctx context.Context, c *Control, first *Authenticate) error {
	own := newNonce()
	if err := c.Send(&Challenge{Nonce: own}); err != nil {
		return err
	}
	msg, err := c.Receive(ctx)
	if err != nil {
		return err
	}
	proof, ok := msg.(*Proof)
	if !ok || !s.proved(RoleSecondary, first.Nonce, own, proof.MAC) {
		return &Refusal{Code: CodeNotAuthorised, Text: "the secret of this secondary is not that of the primary; " +
			"give both the same --secret-file"}
	}
	return c.Send(&Proof{s.mac(RolePrimary, first.Nonce, own)})
}
