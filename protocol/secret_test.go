package protocol

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

var someSecret = Secret("correct horse battery staple")

// controls returns both ends of a control stream.
func controls(t *testing.T) (secondary, primary *Control) {
	t.Helper()
	c, s := pipe(t)
	return NewControl(c), NewControl(s)
}

// demand is what a primary does until the secondary has proved itself.
func demand(ctx context.Context, c *Control, s Secret) error {
	msg, err := c.Receive(ctx)
	if err != nil {
		return err
	}
	err = s.Demand(ctx, c, msg.(*Authenticate))
	var r *Refusal
	if errors.As(err, &r) {
		return errors.Join(err, c.Send(r))
	}
	return err
}

// The vector of docs/native-protocol.md, computed by Python's hmac module.
func TestProofsAreThoseOfTheDocument(t *testing.T) {
	var secondary, primary Nonce
	for i := range secondary {
		secondary[i], primary[i] = byte(i), byte(32+i)
	}
	for role, want := range map[Role]string{
		RoleSecondary: "53083b14b05c3fe8b550e8bd58b6d1f644c51a3e4dd5bb3a96650612bda667f7",
		RolePrimary:   "b92eb4fead476edfe038eab43532b293221a910c153f20aa062e2eb4689e1cce",
	} {
		if got := someSecret.mac(role, secondary, primary); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: got %x, want %s", role, got, want)
		}
	}
}

func TestBothSidesProveTheSameSecret(t *testing.T) {
	secondary, primary := controls(t)
	done := make(chan error, 1)
	go func() { done <- demand(t.Context(), primary, someSecret) }()
	if err := someSecret.Present(t.Context(), secondary); err != nil {
		t.Errorf("secondary: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("primary: %v", err)
	}
}

func TestAnotherSecretIsRefusedInWords(t *testing.T) {
	secondary, primary := controls(t)
	done := make(chan error, 1)
	go func() { done <- demand(t.Context(), primary, someSecret) }()
	for side, err := range map[string]error{
		"secondary": Secret("wrong").Present(t.Context(), secondary), "primary": <-done,
	} {
		var r *Refusal
		if !errors.As(err, &r) || r.Code != CodeNotAuthorised || !strings.Contains(r.Text, "--secret-file") {
			t.Errorf("%s: %v", side, err)
		}
	}
}

// impostor plays a primary that does not have the secret, against a secondary that has.
func impostor(t *testing.T, play func(*Control, *Authenticate) error) error {
	t.Helper()
	secondary, primary := controls(t)
	done := make(chan error, 1)
	go func() {
		msg, err := primary.Receive(t.Context())
		if err == nil {
			err = play(primary, msg.(*Authenticate))
		}
		done <- err
	}()
	err := someSecret.Present(t.Context(), secondary)
	if played := <-done; played != nil {
		t.Fatalf("the impostor: %v", played)
	}
	return err
}

func TestAPrimaryWithoutTheSecretIsNotBelieved(t *testing.T) {
	for name, play := range map[string]func(*Control, *Authenticate) error{
		"it welcomes at once": func(c *Control, _ *Authenticate) error { return c.Send(&Welcome{}) },
		"it makes a proof up": func(c *Control, _ *Authenticate) error {
			return errors.Join(c.Send(&Challenge{}), takeProof(t, c, nil), c.Send(&Proof{}))
		},
		"it gives the secondary's proof back": func(c *Control, a *Authenticate) error {
			var theirs Proof
			return errors.Join(c.Send(&Challenge{a.Nonce}), takeProof(t, c, &theirs), c.Send(&theirs))
		},
		"it welcomes instead of proving": func(c *Control, _ *Authenticate) error {
			return errors.Join(c.Send(&Challenge{}), takeProof(t, c, nil), c.Send(&Welcome{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := impostor(t, play); !errors.Is(err, ErrUnproven) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func takeProof(t *testing.T, c *Control, into *Proof) error {
	t.Helper()
	msg, err := c.Receive(t.Context())
	if err == nil && into != nil {
		*into = *msg.(*Proof)
	}
	return err
}

func TestAProofIsGoodForOneConnection(t *testing.T) {
	var heard Proof
	first := Authenticate{Nonce{1}}
	for attempt, wantRefused := range []bool{false, true} {
		secondary, primary := controls(t)
		done := make(chan error, 1)
		go func() { done <- someSecret.Demand(t.Context(), primary, &first) }()
		msg, err := secondary.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if attempt == 0 {
			heard.MAC = someSecret.mac(RoleSecondary, first.Nonce, msg.(*Challenge).Nonce)
		}
		if err := secondary.Send(&heard); err != nil {
			t.Fatal(err)
		}
		if !wantRefused {
			if _, err := secondary.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var r *Refusal
		if err := <-done; errors.As(err, &r) != wantRefused || err == nil == wantRefused {
			t.Errorf("attempt %d: %v", attempt, err)
		}
	}
}

// A tap keeps what is written to a connection.
type tap struct {
	net.Conn
	seen *bytes.Buffer
}

func (t tap) Write(b []byte) (int, error) {
	t.seen.Write(b)
	return t.Conn.Write(b)
}

func TestTheSecretIsNeitherSentNorPrinted(t *testing.T) {
	c, s := pipe(t)
	var toPrimary, toSecondary bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- demand(t.Context(), NewControl(tap{s, &toSecondary}), someSecret) }()
	err := someSecret.Present(t.Context(), NewControl(tap{c, &toPrimary}))
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	everything := toPrimary.String() + toSecondary.String() +
		fmt.Sprintf("%v %s %q %#v %x %+v", someSecret, someSecret, someSecret, someSecret, someSecret,
			struct{ S Secret }{someSecret})
	for _, trace := range []string{string(someSecret), hex.EncodeToString([]byte(someSecret))} {
		if strings.Contains(everything, trace) {
			t.Errorf("there it is: %q", everything)
		}
	}
}
