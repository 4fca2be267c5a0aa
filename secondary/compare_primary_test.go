package secondary

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
)

// welcomed returns what a secondary with these addresses makes of a welcome.
func welcomed(t *testing.T, change func(*state.State), primaryOnly bool, addresses int, w protocol.Welcome) error {
	t.Helper()
	s := inMemory(t).named(t)
	if err := s.keep.Update(func(id *state.State) error { change(id); return nil }); err != nil {
		t.Fatal(err)
	}
	sec := s.secondary("", func(o *Options) { o.Addresses = make([]string, addresses) })
	sec.primaryOnly = primaryOnly
	w.StorageID = s.keep.State().StorageID
	for i, id := range w.UpstreamPath {
		if id == "me" {
			w.UpstreamPath[i] = s.keep.Node()
		}
	}
	if w.Node == "me" {
		w.Node = s.keep.Node()
	}
	return sec.comparePrimary(&w)
}

func TestWhomToFollow(t *testing.T) {
	first, b, me := []protocol.Epoch{{Number: 1}}, []string{"b"}, []string{"me"}
	for name, c := range map[string]struct {
		voted       uint64
		primaryOnly bool
		addresses   int
		w           protocol.Welcome
		follows     bool
	}{
		"the primary":               {0, true, 2, protocol.Welcome{Epochs: first, Node: "a", IsPrimary: true}, true},
		"an older version":          {0, true, 2, protocol.Welcome{Epochs: first}, true},
		"a lower epoch than voted":  {2, true, 2, protocol.Welcome{Epochs: first, Node: "a", IsPrimary: true}, false},
		"itself":                    {0, true, 2, protocol.Welcome{Epochs: first, Node: "me", IsPrimary: true}, false},
		"another secondary":         {0, true, 2, protocol.Welcome{Epochs: first, Node: "a", UpstreamPath: b}, false},
		"the only address":          {0, true, 1, protocol.Welcome{Epochs: first, Node: "a"}, true},
		"a secondary, nobody leads": {0, false, 2, protocol.Welcome{Epochs: first, Node: "a", UpstreamPath: b}, true},
		"a lost secondary":          {0, false, 2, protocol.Welcome{Epochs: first, Node: "a"}, false},
		"one of its own followers":  {0, false, 1, protocol.Welcome{Epochs: first, Node: "a", UpstreamPath: me}, false},
	} {
		err := welcomed(t, func(id *state.State) { id.MaxEpochSeen = c.voted }, c.primaryOnly, c.addresses, c.w)
		if (err == nil) != c.follows {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A round that has met only secondaries makes the next one take one of them; after any success it is the primary again.
func TestChoosingAmongAddresses(t *testing.T) {
	s := &Secondary{primaryOnly: true}
	other := &notLeadingError{"b"}
	s.choose(other, false, false)
	s.choose(errors.New("connection refused"), false, true)
	if s.primaryOnly {
		t.Error("still looks for a primary that no address has")
	}
	s.choose(errCut, true, false)
	if !s.primaryOnly {
		t.Error("takes a secondary although there was a primary")
	}
	s.choose(errors.New("connection refused"), false, true)
	if !s.primaryOnly {
		t.Error("takes a secondary although it has met none")
	}
}

// A scriptedSuccessor is a Successor that notes what it is told.
type scriptedSuccessor struct {
	refuses error
	over    chan *protocol.TakeOver
}

func (h *scriptedSuccessor) CheckHandover(*protocol.HandoverCheck) error { return h.refuses }
func (h *scriptedSuccessor) TakeOver(m *protocol.TakeOver)               { h.over <- m }

func TestASecondaryPreparesAndIsToldToTakeOver(t *testing.T) {
	answers := make(chan *protocol.HandoverReady, 3)
	addr := script(t, protocol.Welcome{Heartbeat: time.Hour}, func(s *scripted) error {
		for _, m := range []any{&protocol.HandoverCheck{Epoch: 2, Last: 7}, &protocol.HandoverCheck{Epoch: 3}} {
			if err := s.control.Send(m); err != nil {
				return err
			}
			for {
				msg, err := s.control.Receive(s.ctx)
				if err != nil {
					return err
				}
				if p, is := msg.(*protocol.HandoverReady); is {
					answers <- p
					break
				}
			}
		}
		if err := s.control.Send(&protocol.TakeOver{Epoch: 3}); err != nil {
			return err
		}
		return s.untilGone()
	})
	h := &scriptedSuccessor{over: make(chan *protocol.TakeOver, 1)}
	inMemory(t).follow(t, addr, func(o *Options) { o.Successor = h })
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, want := range []bool{false, true} { // it lacks a transaction; it has everything
		select {
		case p := <-answers:
			if (p.Error == "") != want {
				t.Errorf("ready for epoch %d: %q", p.Epoch, p.Error)
			}
		case <-ctx.Done():
			t.Fatal("no answer")
		}
	}
	select {
	case m := <-h.over:
		if m.Epoch != 3 {
			t.Errorf("told %+v", m)
		}
	case <-ctx.Done():
		t.Fatal("not told")
	}
}
