package zeo

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// heard returns what a client was sent, in that order: the tid of an invalidation, and with a minus that of the reply
// to its own commit.
func (c *client) heard(t *testing.T) (all []int64) {
	t.Helper()
	for r := bytes.NewReader(c.out.waiting); r.Len() > 0; {
		b, err := wire.Read(r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.codec.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.IsReply() {
			all = append(all, -int64(tidIn(t, m.Args)))
			continue
		}
		args, _ := m.Args.(pickle.Tuple)
		all = append(all, int64(tidIn(t, args[0])))
	}
	return all
}

// Of several transactions that become visible at once, every client hears in their order: of its own by the reply to
// its commit, of all others by an invalidation.
func TestEveryClientHearsOfEveryTransactionOnce(t *testing.T) {
	one, other, reader := listener(), listener(), listener()
	s := unfollowed(t, nil, one, other, reader)
	for tid, c := range map[zodb.Tid]*client{2: one, 3: other, 5: one} {
		s.expect(c, tid, func() { c.add(c.encode(wire.Reply(int64(tid), tidValue(tid)))) })
	}
	batch := []filestorage.Invalidation{inv(1, 1), inv(2, 1), inv(3, 1), inv(4, 1), inv(5, 1)}
	if !s.announce(batch, nil) {
		t.Fatal("not announced")
	}
	for name, c := range map[string]struct {
		c    *client
		want []int64
	}{
		"who committed two":  {one, []int64{1, -2, 3, 4, -5}},
		"who committed one":  {other, []int64{1, 2, -3, 4, 5}},
		"who committed none": {reader, []int64{1, 2, 3, 4, 5}},
	} {
		if got := c.c.heard(t); !slices.Equal(got, c.want) {
			t.Errorf("%s: heard %v, want %v", name, got, c.want)
		}
	}
	if len(s.pendingFinishes) != 0 || s.visible != 5 {
		t.Errorf("%d commits still wait for a reply, visible is %v", len(s.pendingFinishes), s.visible)
	}
}

// Only as many of the last transactions are remembered as are to be, the newest ones.
func TestTheLastTransactionsAreRemembered(t *testing.T) {
	s := unfollowed(t, nil)
	s.keep = 3
	for _, batch := range [][]zodb.Tid{{1, 2}, {3}, {4, 5}} {
		var told []filestorage.Invalidation
		for _, tid := range batch {
			told = append(told, inv(tid, 1))
		}
		s.announce(told, nil)
		want := min(int(s.visible), 3)
		if len(s.recent) != want || s.recent[want-1].Tid != s.visible {
			t.Errorf("after %v: %v are remembered", s.visible, s.recent)
		}
	}
	for since, oids := range map[zodb.Tid]int{5: 0, 4: 1, 3: 1} {
		if got, ok := s.since(since); !ok || len(got) != oids {
			t.Errorf("since %v: %v, %v", since, got, ok)
		}
	}
	for _, since := range []zodb.Tid{2, 6} {
		if got, ok := s.since(since); ok {
			t.Errorf("since %v, which is not remembered: %v", since, got)
		}
	}
}

// Where the tids of a history go down, clients must come again: none takes an invalidation that is not above the last.
func TestClientsMustReconnectWhereTidsGoDown(t *testing.T) {
	for _, c := range []struct {
		tids []zodb.Tid
		cut  bool
	}{{[]zodb.Tid{11, 12}, false}, {[]zodb.Tid{10}, true}, {[]zodb.Tid{9}, true}, {[]zodb.Tid{11, 11}, true}} {
		reader := listener()
		s := unfollowed(t, nil, reader)
		var log bytes.Buffer
		s.log = hclog.New(&hclog.LoggerOptions{Output: &log})
		s.expect(reader, 20, func() { t.Error("replied to") })
		s.visible = 10
		moved := s.moved
		var batch []filestorage.Invalidation
		for _, tid := range c.tids {
			batch = append(batch, inv(tid, 1))
		}
		if !s.announce(batch, nil) || s.visible != c.tids[len(c.tids)-1] {
			t.Errorf("%v: visible is %v", c.tids, s.visible)
		}
		<-moved // whoever waits looks again
		if cut := errors.Is(reader.out.err, errDown); cut != c.cut {
			t.Errorf("%v: the client is cut off: %v", c.tids, cut)
		}
		if (len(s.pendingFinishes) == 0) != c.cut || strings.Contains(log.String(), "go down") != c.cut {
			t.Errorf("%v: %d commits wait for a reply; told %s", c.tids, len(s.pendingFinishes), log.String())
		}
	}
}

// As long as nobody can say whether transactions may be seen, they are not, and the question is asked again.
func TestAFailedQuestionIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		asked := 0
		reader := listener()
		s := unfollowed(t, nil, reader)
		s.log = hclog.New(&hclog.LoggerOptions{Output: &log})
		s.opt.AwaitCommitted = func(ctx context.Context, _ zodb.Tid) error {
			if asked++; asked < 4 {
				return errors.New("no answer")
			}
			return nil
		}
		s.news.add([]filestorage.Invalidation{inv(1, 1)}, false)
		err := s.announceNews(t.Context())
		if err != nil || s.visible != 1 || !slices.Equal(reader.heard(t), []int64{1}) {
			t.Errorf("%v, visible is %v, heard %v", err, s.visible, reader.heard(t))
		}
		if n := strings.Count(log.String(), "commit clearance failed"); n != 1 {
			t.Errorf("told %d times:\n%s", n, log.String())
		}
		ended, end := context.WithCancelCause(t.Context())
		asked = 0
		go func() {
			synctest.Wait()
			end(errWithdrawn)
		}()
		s.news.add([]filestorage.Invalidation{inv(2, 1)}, false)
		if err := s.announceNews(ended); !errors.Is(err, errWithdrawn) || s.visible != 1 {
			t.Errorf("after the end: %v, visible is %v", err, s.visible)
		}
	})
}

// A storage that is withdrawn watches no more, and returns when nobody uses it any more.
func TestAWithdrawnStorageHearsOfNothing(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	st := s.storage("1")
	if st.opt.HoldFor != defaultHoldFor || st.opt.FallbackFor != defaultFallbackFor || st.stats.start.IsZero() {
		t.Errorf("served with %+v", st.opt)
	}
	p, _ := s.register(t)
	if err := p.conn.Close(); err != nil {
		t.Error(err)
	}
	s.until(t, "the client is forgotten", func() bool {
		st.mu.RLock()
		defer st.mu.RUnlock()
		return len(st.clients) == 0
	})
	if !st.use() {
		t.Fatal("not used")
	}
	withdrawn := make(chan struct{})
	go func() { defer close(withdrawn); s.withdraw() }()
	<-st.life.Done()
	s.until(t, "nobody enters any more", func() bool {
		st.mu.RLock()
		defer st.mu.RUnlock()
		return st.closed
	})
	select {
	case <-withdrawn:
		t.Error("withdrawn while it is used")
	default:
	}
	if st.use() {
		t.Error("used again")
	}
	st.users.Done()
	<-withdrawn
	commitBeside(t, s.st, func() {})
	if batch, unread := st.news.next(); len(batch) > 0 || unread {
		t.Errorf("it has heard of %v, to be read: %v", batch, unread)
	}
}

// Of a commit that has failed nothing stays. Who waits for one that is lost is told why, however many are.
func TestWhoWaitsForALostTransactionIsTold(t *testing.T) {
	c := listener()
	s := unfollowed(t, nil, c)
	for tid := range zodb.Tid(3) {
		s.expect(c, tid+1, func() { t.Error("replied to") })
	}
	waiting := make(chan error)
	go func() { waiting <- s.await(t.Context(), 2) }()
	s.forget(1)
	s.lost(2, errWithdrawn)
	s.lost(3, errWithdrawn)
	if err := <-waiting; !errors.Is(err, errWithdrawn) {
		t.Errorf("waited for: %v", err)
	}
	if err := s.await(t.Context(), 3); !errors.Is(err, errWithdrawn) || len(s.pendingFinishes) > 0 {
		t.Errorf("%v, %d commits still wait for a reply", err, len(s.pendingFinishes))
	}
}

// A client may give tids of some years ahead of the clock, as runzeo lets it, whatever the last transaction is.
func TestTidsOfSomeYearsAheadAreBelieved(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := unfollowed(t, st)
	now := time.Now()
	for range 2 {
		for years, believed := range map[int]bool{1: true, maxYearsAhead - 1: true, maxYearsAhead + 1: false} {
			tid, err := zodb.TidFromTime(now.AddDate(years, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.believes(given{tid: tid}, now); (err == nil) != believed {
				t.Errorf("after %v, %d years ahead: %v", st.LastTid(), years, err)
			}
		}
		commitBeside(t, st, func() {})
	}
}
