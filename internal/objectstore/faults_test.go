package objectstore_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
)

// quick has a test wait for no clock.
var quick = objectstore.Options{Attempts: 4, FirstWait: time.Millisecond, LongestWait: time.Millisecond}

// TestFaultsOfAStoreAreSurvivedOrNamed puts faults between this package and a real S3 server.
func TestFaultsOfAStoreAreSurvivedOrNamed(t *testing.T) {
	server := objectstoretest.Start(t)
	proxy := server.Proxy(t)
	s := open(t, server.URL(proxy.Address, "faults"), quick)
	content := noise(600_000)
	put(t, s, "object", content)

	t.Run("a store that is busy for a moment is asked again", func(t *testing.T) {
		proxy.First(3, objectstoretest.Fault{Status: http.StatusServiceUnavailable})
		if _, err := s.Stat(t.Context(), "object"); err != nil {
			t.Error(err)
		}
		proxy.First(3, objectstoretest.Fault{Status: http.StatusServiceUnavailable})
		put(t, s, "busy", content)
	})
	t.Run("a store that stays busy is away, after so many attempts", func(t *testing.T) {
		proxy.Make(func(*http.Request) objectstoretest.Fault {
			return objectstoretest.Fault{Status: http.StatusServiceUnavailable}
		})
		if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, objectstore.ErrAway) || proxy.Seen() != 4 {
			t.Errorf("after %d requests: %v", proxy.Seen(), err)
		}
		if _, err := s.Read(t.Context(), "object", 0, -1); !objectstore.IsTemporary(err) {
			t.Error(err)
		}
	})
	t.Run("a read that is cut goes on where it was", func(t *testing.T) {
		asked := map[string]bool{}
		proxy.Make(func(r *http.Request) objectstoretest.Fault {
			asked[r.Header.Get("Range")] = true
			return objectstoretest.Fault{Cut: 100_000}
		})
		if got := get(t, s, "object", 0, -1); !bytes.Equal(got, content) {
			t.Errorf("%d other bytes", len(got))
		}
		if len(asked) != 6 {
			t.Errorf("these ranges were asked for: %v", asked)
		}
	})
	t.Run("an upload of which the answer was lost has succeeded", func(t *testing.T) {
		proxy.Make(func(r *http.Request) objectstoretest.Fault {
			return objectstoretest.Fault{Lost: r.Method == http.MethodPut && proxyFirst(&lostOnce)}
		})
		put(t, s, "lost", content)
		if _, err := s.Put(t.Context(), "lost", bytes.NewReader(content[1:])); !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("another content: %v", err)
		}
	})
	t.Run("a gateway that answers no upload hides neither what succeeded nor what was there", func(t *testing.T) {
		proxy.Make(func(r *http.Request) objectstoretest.Fault {
			if r.Method == http.MethodPut {
				return objectstoretest.Fault{Lost: true, Status: http.StatusBadGateway}
			}
			return objectstoretest.Fault{}
		})
		put(t, s, "gateway", content)
		_, err := s.Put(t.Context(), "gateway", bytes.NewReader(content[1:]))
		if !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("another content: %v", err)
		}
	})
	t.Run("an object that the store refuses to replace and does not show yet is asked for again", func(t *testing.T) {
		asked := 0
		proxy.Make(func(r *http.Request) objectstoretest.Fault {
			if r.Method == http.MethodHead {
				if asked++; asked == 1 {
					return objectstoretest.Fault{Status: http.StatusNotFound}
				}
			}
			return objectstoretest.Fault{}
		})
		put(t, s, "object", content)
	})
	t.Run("a store that answers nothing is given up", func(t *testing.T) {
		stalling := quick
		stalling.Stall, stalling.Attempts = 50*time.Millisecond, 2
		s := open(t, server.URL(proxy.Address, "faults"), stalling)
		proxy.Make(func(*http.Request) objectstoretest.Fault { return objectstoretest.Fault{Hang: true} })
		if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, objectstore.ErrAway) {
			t.Errorf("stat: %v", err)
		}
		if _, err := s.Put(t.Context(), "hanging", bytes.NewReader(content)); !errors.Is(err, objectstore.ErrAway) {
			t.Errorf("put: %v", err)
		}
	})
	t.Run("a clock that is wrong is named", func(t *testing.T) {
		proxy.Make(func(*http.Request) objectstoretest.Fault { return objectstoretest.Fault{Skew: -20 * time.Minute} })
		mustBe(t, s, objectstore.ErrClock)
	})
	t.Run("credentials that are wrong are named", func(t *testing.T) {
		proxy.Make(func(*http.Request) objectstoretest.Fault { return objectstoretest.Fault{Forge: true} })
		mustBe(t, s, objectstore.ErrPermission)
	})
	t.Run("a bucket that is not there says nothing of an object", func(t *testing.T) {
		proxy.Make(nil)
		s := open(t, server.NoBucket(), quick)
		if _, err := s.Read(t.Context(), "object", 0, -1); !errors.Is(err, objectstore.ErrAway) {
			t.Errorf("read: %v", err)
		}
	})
	proxy.Make(nil)
	if got := get(t, s, "object", 0, -1); !bytes.Equal(got, content) {
		t.Errorf("after all that there are %d other bytes", len(got))
	}
}

var lostOnce bool

func proxyFirst(done *bool) bool {
	first := !*done
	*done = true
	return first
}

// mustBe has each operation fail with the error, at the first attempt.
func mustBe(t *testing.T, s *objectstore.Store, want error) {
	t.Helper()
	_, err := s.Put(t.Context(), "new", bytes.NewReader([]byte("new")))
	if !errors.Is(err, want) || objectstore.IsTemporary(err) {
		t.Errorf("put: %v", err)
	}
	r, err := s.Read(t.Context(), "object", 0, -1)
	if !errors.Is(err, want) || objectstore.IsTemporary(err) {
		t.Errorf("read: %v %v", r, err)
	}
	for _, err := range s.List(t.Context(), "") {
		if !errors.Is(err, want) {
			t.Errorf("list: %v", err)
		}
	}
}

// TestAReaderThatIsSlowIsNotGivenUp guards the time that a caller takes between two reads.
func TestAReaderThatIsSlowIsNotGivenUp(t *testing.T) {
	slow := quick
	slow.Stall = time.Millisecond
	s := open(t, "file://"+t.TempDir(), slow)
	put(t, s, "slow", noise(1000))
	r, err := s.Read(t.Context(), "slow", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(20 * time.Millisecond)
	if b, err := io.ReadAll(r); err != nil || len(b) != 1000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
