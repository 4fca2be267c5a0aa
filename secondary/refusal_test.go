package secondary

import (
	"context"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// blobless is a site without a blob directory.
func blobless(t *testing.T) *site {
	t.Helper()
	disk := simdisk.New()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s := &site{fs: disk, st: st}
	if err := s.identify(); err != nil {
		t.Fatal(err)
	}
	return s
}

// adopt makes s a copy of p as far as its identity tells.
func (s *site) adopt(t *testing.T, p *site) *site {
	t.Helper()
	if err := s.keep.Adopt(p.id.StorageID, p.id.Epochs, false); err != nil {
		t.Fatal(err)
	}
	s.id = s.keep.State()
	return s
}

func TestARefusalReachesTheOperatorInWords(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  protocol.Code
		words []string
		sites func(t *testing.T) (p, s *site)
	}{
		{"another database", protocol.CodeWrongStorage, []string{"holds the storage", "check the address"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				return inMemory(t).named(t).history(t, 3), inMemory(t).named(t).history(t, 3)
			}},
		{"ahead of the primary", protocol.CodeAhead, []string{"is ahead", "promote this secondary"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				p = inMemory(t).named(t).history(t, 3)
				return p, inMemory(t).adopt(t, p).history(t, 3)
			}},
		{"history of its own", protocol.CodeDiverged, []string{"never was in the primary", "zrsd rewind"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				p = inMemory(t).named(t)
				s = inMemory(t).adopt(t, p).history(t, 3)
				return p.history(t, 3), s
			}},
		{"a file of another storage without a state", protocol.CodeDiverged,
			[]string{"no state file", "another storage", "move the Data.fs"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				p = inMemory(t).named(t).history(t, 3)
				return p, inMemory(t).history(t, 3)
			}},
		{"no blob directory", protocol.CodeBlobsRequired, []string{"has no blob directory", "--blobs"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				return inMemory(t).named(t).history(t, 3), blobless(t)
			}},
		{"another generation of Python", protocol.CodeMagic, []string{"FS30", "FS21", "empty Data.fs"},
			func(t *testing.T) (p, s *site) {
				t.Helper()
				p = fixture(t, "fs21")
				return p, inMemory(t).adopt(t, p).history(t, 1)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := c.sites(t)
			before := s.committed(t)
			r := s.secondary(p.asPrimary(t)).run(t)
			st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
			for _, words := range c.words {
				if !strings.Contains(st.LastError, words) {
					t.Errorf("the operator does not read %q: %s", words, st.LastError)
				}
			}
			if st.Refusals[c.code] == 0 {
				t.Errorf("refusals by code: %v", st.Refusals)
			}
			if !slices.Equal(before, s.committed(t)) {
				t.Error("a refused secondary changed its file")
			}
		})
	}
}

// logged collects what is logged, for one connection after the other.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

func (l *logged) count(words string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

func TestARefusedSecondaryAsksRarelyAndGoesOnWhenAnOperatorHasActed(t *testing.T) {
	wrong, right := inMemory(t).named(t).history(t, 2), inMemory(t).named(t).history(t, 4)
	s := inMemory(t).adopt(t, right)
	behind := [2]string{wrong.asPrimary(t), right.asPrimary(t)}
	log := &logged{}
	var waits []time.Duration
	sec := s.secondary("primary:1", func(o *Options) {
		o.MinBackoff, o.MaxBackoff = 200*time.Millisecond, time.Minute
		o.Logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Info})
		o.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, behind[len(waits)/5]) }
	})
	sec.pause = func(_ context.Context, d time.Duration) bool {
		waits = append(waits, d)
		if st := sec.Status(); st.State != StateRefused {
			t.Errorf("waits in state %s", st.State)
		}
		return true
	}
	r := sec.run(t)
	r.has(t, right.st.LastTid())
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if len(waits) != 5 || waits[0] > time.Second || slices.Min(waits[1:]) != time.Minute {
		t.Errorf("waits %v: want a short one, then the longest", waits)
	}
	if n := log.count("not following the primary"); n != 1 {
		t.Errorf("the log has the same refusal %d times", n)
	}
	mustEqual(t, right, s)
}

func TestBackoffGrowsUntilThereIsProgress(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 2), inMemory(t)
	addr := p.asPrimary(t)
	var waits []time.Duration
	conns := make(chan net.Conn, 1)
	sec := s.secondary(addr, func(o *Options) {
		o.MinBackoff, o.MaxBackoff = time.Second, time.Minute
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			if len(waits) < 8 {
				return nil, errCut
			}
			conn, err := dial(ctx, addr)
			select {
			case <-conns:
			default:
			}
			conns <- conn
			return conn, err
		}
	})
	sec.pause = func(_ context.Context, d time.Duration) bool { waits = append(waits, d); return true }
	r := sec.run(t)
	r.has(t, p.st.LastTid())
	_ = (<-conns).Close()
	r.eventually(t, "connected again", func(st Status) bool { return st.Reconnects == 1 && st.State == StateLive })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if len(waits) != 9 || waits[7] < 20*time.Second || waits[8] > 2*time.Second {
		t.Errorf("waits %v: want growing ones, and a short one after progress", waits)
	}
}

func TestWhereItStandsIsTheLastTransaction(t *testing.T) {
	s := inMemory(t).named(t)
	sec := s.secondary("nobody:1")
	h, err := sec.hello(t.Context())
	if err != nil || h.Last != (protocol.Position{}) || h.Magic != (zodb.Magic{}) || h.StorageID != s.id.StorageID {
		t.Errorf("empty: %+v, %v", h, err)
	}
	s.history(t, 2)
	h, err = sec.hello(t.Context())
	if err != nil || h.Last.Tid != s.st.LastTid() || h.Last.Status != ' ' || h.Magic != zodb.MagicFS30 || !h.Blobs {
		t.Errorf("%+v, %v", h, err)
	}
	it, err := s.st.Iterate(h.Last.Tid-1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	txn, err := it.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := zodb.DigestOf(txn); err != nil || d != h.Last.Digest {
		t.Errorf("digest %x, want %x, %v", h.Last.Digest, d, err)
	}
}

func TestASecondaryWithoutAnAddressDoesNotRun(t *testing.T) {
	if err := New(inMemory(t).st, new(state.Keeper), Options{}).Run(t.Context()); err == nil {
		t.Error("ran")
	}
}

func TestAnAddressThatIsNoneIsAnErrorOfTheConnection(t *testing.T) {
	r := inMemory(t).follow(t, filepath.Base("nonsense"))
	st := r.eventually(t, "told", func(st Status) bool { return st.LastError != "" })
	if !strings.Contains(st.LastError, "host:port") {
		t.Errorf("%s", st.LastError)
	}
}

// A tid is written down as it comes. One after which there are hardly any more would end all commits, on the node that
// is promoted later; one of a clock that was wrong by years is copied as it is.
func TestATransactionThatLeavesNoTidsIsNotTaken(t *testing.T) {
	p, s := inMemory(t).named(t).history(t, 1), inMemory(t)
	future, err := zodb.TidFromTime(time.Now().AddDate(maxYearsAhead-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	r := s.follow(t, p.asPrimary(t))
	for _, tid := range []zodb.Tid{future, math.MaxUint64} {
		txn, err := p.st.Begin(t.Context(), &zodb.TxnMeta{Tid: tid})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if tid == future {
			r.has(t, future)
		}
	}
	st := r.eventually(t, "refused", func(st Status) bool { return st.State == StateRefused })
	if s.st.LastTid() != future || !strings.Contains(st.LastError, "almost no tids") {
		t.Errorf("it has %v; %s", s.st.LastTid(), st.LastError)
	}
}

// TestNobodyIsToldToSetAsideWhatHasNoState: zrsd rewind refuses that, of whatever storage the file is.
func TestNobodyIsToldToSetAsideWhatHasNoState(t *testing.T) {
	for _, named := range []bool{false, true} {
		site := inMemory(t).history(t, 1)
		if named {
			site.named(t)
		}
		s := New(site.st, site.keep, Options{Rewind: func(context.Context, string) string { return "zrsd rewind" }})
		refusal := &protocol.Refusal{Code: protocol.CodeAhead}
		if text := s.advised(t.Context(), "", refusal).Error(); strings.Contains(text, "zrsd rewind") != named {
			t.Errorf("with a state: %v: %s", named, text)
		}
	}
}
