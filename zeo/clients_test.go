package zeo

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

// shows waits until the connections do what is wanted, the oldest first, and returns them.
func (s *site) shows(t *testing.T, want ...Activity) []ClientInfo {
	t.Helper()
	return s.awaitClients(t, fmt.Sprint(want), func(all []ClientInfo) bool {
		same := len(all) == len(want)
		for i := range want {
			same = same && all[i].Doing == want[i]
		}
		return same
	})
}

func (s *site) awaitClients(t *testing.T, what string, cond func([]ClientInfo) bool) []ClientInfo {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		all := s.Clients()
		if cond(all) {
			return all
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("clients are %+v, want %s", all, what)
		}
	}
}

// awaitStats waits for counts that follow an answer: what has been sent is counted after the client may have read it.
func (s *site) awaitStats(t *testing.T, what string, cond func(Stats) bool) (now Stats) {
	t.Helper()
	s.awaitClients(t, what, func([]ClientInfo) bool {
		now, _ = s.Stats("1")
		return cond(now)
	})
	return now
}

func TestClientsAreShownWithWhatTheySayOfThemselves(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	if got := s.Clients(); len(got) != 0 {
		t.Errorf("nobody has connected, and there are %+v", got)
	}
	p := s.dial(t, wire.M5)
	got := s.shows(t, Connecting)[0]
	if got.Address != p.conn.LocalAddr().String() || got.Since.IsZero() || got.Storage+got.Encoding != "" {
		t.Errorf("before it entered: %+v", got)
	}
	p.call("register", "1", true)
	p.call("set_client_label", "zope, worker 3")
	got = s.shows(t, Idle)[0]
	if got.Storage != "1" || got.Encoding != wire.M5 || got.Label != "zope, worker 3" || !got.ReadOnly ||
		!got.DoingSince.IsZero() {
		t.Errorf("a reader: %+v", got)
	}
	if err := p.conn.Close(); err != nil {
		t.Fatal(err)
	}
	s.shows(t)
}

func TestClientsAreShownInTheMiddleOfACommit(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	first, _ := s.register(t)
	first.stored(1, 0, "one")
	buffering := s.shows(t, Buffering)[0]
	first.call("vote", handle)
	second, _ := s.register(t)
	second.stored(2, 0, "two")
	vote := second.send(0, "vote", handle)
	got := s.shows(t, Holding, Waiting)
	if got[0].DoingSince.Before(buffering.DoingSince) || got[1].DoingSince.IsZero() {
		t.Errorf("holding since %v, waiting since %v", got[0].DoingSince, got[1].DoingSince)
	}
	first.call("tpc_finish", handle)
	second.answer(vote)
	s.shows(t, Idle, Holding)
	second.call("tpc_abort", handle)
	got = s.shows(t, Idle, Idle)
	if got[0].Stores != 1 || got[0].Commits != 1 || got[1].Stores != 1 || got[1].Commits != 0 {
		t.Errorf("counted %+v", got)
	}
	first.call("loadBefore", oidValue(1), tidValue(maxTid))
	s.awaitClients(t, "a load", func(all []ClientInfo) bool { return all[0].Loads == 1 })
}

func TestAnUploadIsShownUntilItsEnd(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.call("storeBlobStart")
	s.shows(t, Uploading)
	p.call("tpc_begin", int64(1), pickle.Bytes{}, pickle.Bytes{}, &pickle.Dict{}, nil, " ")
	p.call("storeBlobEnd", oidValue(1), tidValue(0), pickle.Bytes("r"), int64(1))
	s.shows(t, Buffering)
}

func TestAnOutboxSaysHowMuchWaits(t *testing.T) {
	o := newOutbox(io.Discard, func() {}, 100)
	o.put([]byte("four"))
	o.put([]byte("seven.."))
	if got := o.size(); got != 11 {
		t.Errorf("%d bytes wait, want 11", got)
	}
}

func TestAVoteThatHasTheLockIsNotShownAsWaiting(t *testing.T) {
	v := &transaction{}
	v.set(waiting)
	v.apply()
	if got, since := v.activity(); got != Voting || since.IsZero() {
		t.Errorf("%s since %v", got, since)
	}
	v.set(buffering)
	if got, _ := v.activity(); got != Buffering {
		t.Errorf("after a conflict it is %s", got)
	}
}

func TestWhatClientsDidIsCounted(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	if _, offered := s.Stats("another"); offered {
		t.Error("a storage that is not offered has counts")
	}
	p, _ := s.register(t)
	first := p.commit(1, 0, "one")
	p.commit(1, first, "two")
	p.current(1)
	p.stored(1, first, "late")
	p.call("vote", handle)
	got, _ := s.Stats("1")
	if got.Clients != 1 || got.Commits != 2 || got.Stores != 3 || got.Loads == 0 || got.CommitTimes.Count() != 2 {
		t.Errorf("after two commits and a load there are %+v", got)
	}
}

// The bytes of a client count while it is connected and after it has gone, and so do invalidations.
func TestTheTrafficOfClientsIsCounted(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.commit(1, 0, strings.Repeat("x", 10_000))
	first := s.awaitStats(t, "nothing queued", func(n Stats) bool { return n.Queued == 0 })
	if first.Received < 10_000 || first.Sent == 0 || first.Invalidations != 1 {
		t.Errorf("with one client there are %+v", first)
	}
	p.conn.Close()
	s.awaitClients(t, "nobody", func(all []ClientInfo) bool { return len(all) == 0 })
	if got, _ := s.Stats("1"); got.Clients > 0 || got.Received < first.Received || got.Sent < first.Sent {
		t.Errorf("before the client went there were %+v, and then %+v", first, got)
	}
}
