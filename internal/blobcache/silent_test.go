package blobcache_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

const patience = 10 * time.Second // of a silentSource

// A silentSource hangs, as a process that was stopped, until it is woken.
type silentSource struct {
	source
	asked atomic.Int64
	awake atomic.Bool
}

func (s *silentSource) wait(ctx context.Context) error {
	s.asked.Add(1)
	if s.awake.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

func (s *silentSource) String() string { return "silent source" }

func (s *silentSource) Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (int64, error) {
	if err := s.wait(ctx); err != nil {
		return 0, err
	}
	return s.source.Size(ctx, oid, tid)
}

func (s *silentSource) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (int64, error) {
	if err := s.wait(ctx); err != nil {
		return 0, err
	}
	return s.source.Fetch(ctx, oid, tid, into)
}

// TestASourceThatDoesNotAnswerIsWaitedForOnce: of many who need what only it may have, one waits for it now and then,
// and the others hear at once, and why.
func TestASourceThatDoesNotAnswerIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silentSource{source: source{n: 100, size: 10, keeps: true}}
		d := newCache(t, simdisk.New(), 1000, s)
		begun := time.Now()
		for oid := zodb.Oid(1); oid <= 20; oid++ {
			var away *blobcache.AwayError
			if _, err := read(d, oid); !errors.As(err, &away) {
				t.Fatalf("blob %v: %v", oid, err)
			}
		}
		if took := time.Since(begun); took != patience || s.asked.Load() != 1 {
			t.Errorf("20 readers took %v, and it was asked %d times", took, s.asked.Load())
		}
		<-time.After(patience)
		begun = time.Now()
		var waited atomic.Int64
		var all sync.WaitGroup
		for oid := zodb.Oid(1); oid <= 20; oid++ {
			all.Go(func() {
				if _, err := d.Where(t.Context(), oid, 1); err == nil {
					t.Errorf("blob %v is there", oid)
				}
				if time.Since(begun) > 0 {
					waited.Add(1)
				}
			})
		}
		all.Wait()
		if waited.Load() != 1 {
			t.Errorf("%d of 20 waited when it was asked again", waited.Load())
		}
		s.awake.Store(true)
		<-time.After(patience)
		for oid := zodb.Oid(1); oid <= 20; oid++ {
			mustRead(t, d, oid, 10)
		}
	})
}

// TestASourceThatDoesNotAnswerHoldsUpNobodyWhoNeedsAnother: the first one finds that out, and readers and evictions
// after it do not.
func TestASourceThatDoesNotAnswerHoldsUpNobodyWhoNeedsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, good := &silentSource{}, &source{n: 100, size: 100, keeps: true}
		d := newCache(t, simdisk.New(), 1000, silent, good)
		begun := time.Now()
		for oid := zodb.Oid(1); oid <= 30; oid++ {
			mustRead(t, d, oid, 100)
		}
		run(t, d)
		if st := d.Stats(); st.Bytes > 1000 {
			t.Errorf("%d bytes are there", st.Bytes)
		}
		if took := time.Since(begun); took != patience {
			t.Errorf("it took %v", took)
		}
		good.away.Store(true)
		<-time.After(patience)
		begun = time.Now()
		for oid := zodb.Oid(50); oid <= 60; oid++ {
			commit(t, d, oid, 100)
		}
		run(t, d)
		if took := time.Since(begun); took != patience {
			t.Errorf("that nobody keeps the others took %v", took)
		}
	})
}

// TestANodeThatTakesAConnectionAndSaysNothingIsSilent: it is not waited for as long as clients of ZEO wait.
func TestANodeThatTakesAConnectionAndSaysNothingIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := blobcache.NewPeer("db1:5000", func(ctx context.Context) (*hashchain.Remote, error) {
			return hashchain.Dial(ctx, func(context.Context) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer server.Close()
					for b := make([]byte, 100); ; {
						if _, err := server.Read(b); err != nil {
							return
						}
					}
				}()
				return client, nil
			}, nil, "test")
		}, func() string { return "" })
		begun := time.Now()
		_, err := p.Size(t.Context(), 1, 1)
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took >= 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
