package objectstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
)

// TestEachKindOfStoreKeepsTheContract runs the same rules on a directory and on a real S3 server.
func TestEachKindOfStoreKeepsTheContract(t *testing.T) {
	rules := map[string]func(t *testing.T, open func(objectstore.Options) *objectstore.Store){
		"what is put is there whole":               wholeObjects,
		"nothing is overwritten":                   createOnly,
		"of many writers of one key one wins":      oneWins,
		"any range can be read":                    ranges,
		"what is not there is told as such":        notThere,
		"a list has all of a prefix, in order":     lists,
		"keys that lead elsewhere are refused":     oddKeys,
		"content that changes is not stored":       changing,
		"content in memory is stored as any other": inMemory,
		"no more objects at a time than are set":   turns,
		"calls are observed":                       observed,
		"a context that has ended ends every call": endedContext,
	}
	for name, rule := range rules {
		t.Run("directory/"+name, func(t *testing.T) {
			url := "file://" + t.TempDir()
			rule(t, func(opt objectstore.Options) *objectstore.Store { return open(t, url, opt) })
		})
	}
	t.Run("s3", func(t *testing.T) {
		server := objectstoretest.Start(t)
		n := 0
		for name, rule := range rules {
			n++
			url := server.URL(server.Address, fmt.Sprintf("rule-%d/deep", n))
			t.Run(name, func(t *testing.T) {
				rule(t, func(opt objectstore.Options) *objectstore.Store { return open(t, url, opt) })
			})
		}
	})
}

func open(t *testing.T, url string, opt objectstore.Options) *objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(t.Context(), url, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noise is content of which no part is like another.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func put(t *testing.T, s *objectstore.Store, key string, content []byte) {
	t.Helper()
	o, err := s.Put(t.Context(), key, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != int64(len(content)) || o.SHA256 != sha256.Sum256(content) {
		t.Fatalf("%s was stored with size %d and SHA-256 %x", key, o.Size, o.SHA256)
	}
}

func get(t *testing.T, s *objectstore.Store, key string, from, length int64) []byte {
	t.Helper()
	r, err := s.Read(t.Context(), key, from, length)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func wholeObjects(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	for i, size := range []int{0, 1, 100_000, 20 << 20} { // the last one goes in parts
		content, key := noise(size), fmt.Sprintf("whole/%d.blob", i)
		put(t, s, key, content)
		if got := get(t, s, key, 0, -1); !bytes.Equal(got, content) {
			t.Errorf("of %d bytes %d came back, or others", size, len(got))
		}
		if o, err := s.Stat(t.Context(), key); err != nil || o.Size != int64(size) || o.Key != key {
			t.Errorf("an object of %d bytes is told as %+v, %v", size, o, err)
		}
	}
}

func createOnly(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	for _, size := range []int{10, 20 << 20} {
		key, mine, other := fmt.Sprintf("only/%d", size), noise(size), noise(size + 1)[1:]
		put(t, s, key, mine)
		put(t, s, key, mine) // an answer may have been lost
		for _, content := range [][]byte{other, noise(size + 1)} {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(content)); !errors.Is(err, objectstore.ErrExists) {
				t.Errorf("other content of a key that exists: %v", err)
			}
		}
		if !bytes.Equal(get(t, s, key, 0, -1), mine) {
			t.Error("it was overwritten")
		}
	}
}

func oneWins(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{AtOnce: 8})
	won := make([]bool, 8)
	var all sync.WaitGroup
	for i := range won {
		all.Go(func() {
			_, err := s.Put(t.Context(), "race", bytes.NewReader([]byte{byte(i)}))
			if won[i] = err == nil; !won[i] && !errors.Is(err, objectstore.ErrExists) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	winner := slices.Index(won, true)
	if winner < 0 || slices.Contains(won[winner+1:], true) {
		t.Fatalf("these have won: %v", won)
	}
	if got := get(t, s, "race", 0, -1); !bytes.Equal(got, []byte{byte(winner)}) {
		t.Errorf("%d has won, and the object is %v", winner, got)
	}
}

func ranges(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	content := noise(1000)
	put(t, s, "range", content)
	for _, r := range [][2]int64{{0, 1000}, {0, 1}, {999, 1}, {500, 100}, {990, 100}, {10, -1}, {5, 0}, {1000, 0}} {
		want := content[r[0]:]
		if r[1] >= 0 {
			want = want[:min(int(r[1]), len(want))]
		}
		if got := get(t, s, "range", r[0], r[1]); !bytes.Equal(got, want) {
			t.Errorf("range %v has %d other bytes", r, len(got))
		}
	}
}

func notThere(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	put(t, s, "there/and/deep", nil)
	for _, key := range []string{"absent", "there", "there/and", "there/and/deep.not"} {
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, objectstore.ErrNotExist) {
			t.Errorf("stat of %s: %v", key, err)
		}
		for _, length := range []int64{-1, 0, 5} {
			if r, err := s.Read(t.Context(), key, 0, length); !errors.Is(err, objectstore.ErrNotExist) {
				t.Errorf("read of %s: %v %v", key, r, err)
			}
		}
	}
	for range 2 {
		if err := s.Delete(t.Context(), "there/and/deep"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Stat(t.Context(), "there/and/deep"); !errors.Is(err, objectstore.ErrNotExist) {
		t.Errorf("stat of what was deleted: %v", err)
	}
}

func lists(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{Page: 3})
	keys := []string{"a", "b-1", "b/0", "b/1/x", "b/1/y", "b/1.z", "b/2", "b0", "c/d/e", "c/d/f", "c/e"}
	for _, key := range keys {
		put(t, s, key, []byte(key))
	}
	for _, prefix := range []string{"", "b", "b/", "b/1", "b/1/", "c/d/f", "none", "b/1/x/"} {
		var want, got []string
		for _, key := range keys {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		for o, err := range s.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if o.Size != int64(len(o.Key)) {
				t.Errorf("%s has size %d", o.Key, o.Size)
			}
			got = append(got, o.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with prefix %q there are %q, not %q", prefix, got, want)
		}
	}
}

func oddKeys(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".tmp/a", "a b", "a\x00b", "ä",
		string(bytes.Repeat([]byte("a/b"), 400)), string(bytes.Repeat([]byte("a"), 201))} {
		if _, err := s.Put(t.Context(), key, bytes.NewReader(nil)); !errors.Is(err, objectstore.ErrRefused) {
			t.Errorf("put of %.20q: %v", key, err)
		}
	}
}

func inMemory(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	for _, size := range []int{0, 1, 20 << 20} {
		key, content := fmt.Sprintf("memory/%d", size), noise(size)
		for range 2 { // an answer may have been lost
			o, err := s.Put(t.Context(), key, objectstore.Memory(content))
			if err != nil || o.Size != int64(size) || o.SHA256 != sha256.Sum256(content) {
				t.Fatalf("%d bytes were stored with size %d and SHA-256 %x: %v", size, o.Size, o.SHA256, err)
			}
		}
		if got := get(t, s, key, 0, -1); !bytes.Equal(got, content) {
			t.Errorf("of %d bytes %d came back, or others", size, len(got))
		}
		for _, other := range [][]byte{noise(size + 1), bytes.Repeat([]byte{7}, max(size, 1))} {
			if _, err := s.Put(t.Context(), key, objectstore.Memory(other)); !errors.Is(err, objectstore.ErrExists) {
				t.Errorf("%d bytes where there are others: %v", len(other), err)
			}
		}
	}
}

// changingContent has other bytes each time it is read.
type changingContent struct {
	*bytes.Reader
	times int
}

func (c *changingContent) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(b, at)
	if at == 0 && n > 0 {
		c.times++
		b[0] = byte(c.times)
	}
	return n, err
}

func changing(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	for _, size := range []int{100, 20 << 20} {
		key := fmt.Sprintf("changing/%d", size)
		_, err := s.Put(t.Context(), key, &changingContent{Reader: bytes.NewReader(noise(size))})
		if !errors.Is(err, objectstore.ErrContent) || objectstore.IsTemporary(err) {
			t.Errorf("content that changes: %v", err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, objectstore.ErrNotExist) {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func turns(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{AtOnce: 1})
	put(t, s, "turn", []byte("x"))
	r, err := s.Read(t.Context(), "turn", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Stat(ctx, "turn"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call got a turn: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "turn"); err != nil {
		t.Error(err)
	}
}

func observed(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	var calls []objectstore.Call
	s := open(objectstore.Options{Observe: func(c objectstore.Call) { calls = append(calls, c) }})
	put(t, s, "seen", noise(300))
	get(t, s, "seen", 100, -1)
	_, _ = s.Stat(t.Context(), "unseen")
	var got []string
	for _, c := range calls {
		got = append(got, fmt.Sprint(c.Op, " ", c.Bytes, " ", c.Err == nil))
	}
	if want := []string{"put 300 true", "read 200 true", "stat 0 false"}; !slices.Equal(got, want) {
		t.Errorf("observed %q, not %q", got, want)
	}
}

func endedContext(t *testing.T, open func(objectstore.Options) *objectstore.Store) {
	t.Helper()
	s := open(objectstore.Options{})
	put(t, s, "ended", noise(10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := s.Put(ctx, "other", bytes.NewReader(nil))
	_, readErr := s.Read(ctx, "ended", 0, -1)
	var listErr error
	for _, listErr = range s.List(ctx, "") {
	}
	all := map[string]error{"put": putErr, "read": readErr, "list": listErr, "delete": s.Delete(ctx, "ended")}
	for op, err := range all {
		if !errors.Is(err, context.Canceled) || objectstore.IsTemporary(err) {
			t.Errorf("%s: %v", op, err)
		}
	}
}
