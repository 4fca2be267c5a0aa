package primary

import (
	"io"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/protocol"
)

func TestWhoHasTheSecretFollows(t *testing.T) {
	src := newSource(plain(1)...)
	p := start(t, src, Options{Secret: protocol.Secret("the same for both")})
	c := connect(t, p.addr)
	if err := p.opt.Secret.Present(c.ctx, c.control); err != nil {
		t.Fatal(err)
	}
	if msg, ok := c.ask(hello(protocol.Position{})).(*protocol.Welcome); !ok {
		t.Errorf("got %#v", msg)
	}
}

func TestWithoutTheSecretNobodyIsWelcome(t *testing.T) {
	for name, c := range map[string]struct {
		secret protocol.Secret
		first  any
		want   string
	}{
		"a hello where a proof is wanted": {protocol.Secret("s"), hello(protocol.Position{}),
			"start the secondary with --secret-file"},
		"something else": {protocol.Secret("s"), &protocol.Proof{}, "start the secondary with --secret-file"},
		"a proof where nobody wants one": {nil, &protocol.Authenticate{},
			"give the primary the same --secret-file, or start the secondary without"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, newSource(plain(1)...), Options{Secret: c.secret})
			client := connect(t, p.addr)
			if err := client.control.Send(c.first); err != nil {
				t.Fatal(err)
			}
			r, ok := client.receive().(*protocol.Refusal)
			if !ok || r.Code != protocol.CodeNotAuthorised || !strings.Contains(r.Text, c.want) {
				t.Errorf("got %#v", r)
			}
			client.hangUp()
		})
	}
}

func TestAProtocolWithoutRoomForTheSecretIsRefusedInSilence(t *testing.T) {
	p := start(t, newSource(plain(1)...), Options{Secret: protocol.Secret("s")})
	for _, proto := range []string{"zrs2.0", "zrs2.1"} {
		conn := dial(t, p.addr)
		if err := protocol.WriteSized(conn, []byte(proto)); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
			t.Errorf("%s: got the answer %q, %v", proto, answer, err)
		}
	}
	s := p.Status()
	if s.Totals.Refusals[protocol.CodeNotAuthorised] != 2 ||
		!strings.Contains(s.Refusals[1].Text, `"zrs2.1" cannot prove`) {
		t.Errorf("the status says %+v", s.Refusals)
	}
}
