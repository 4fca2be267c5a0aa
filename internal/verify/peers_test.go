package verify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A node is another copy of a storage, and counts how often it is asked.
type node struct {
	*site
	chain *hashchain.Local
	asked int
}

func (n *node) Span(ctx context.Context) (hashchain.Span, error) { n.asked++; return n.chain.Span(ctx) }

func (n *node) At(ctx context.Context, base, tid zodb.Tid) (hashchain.Point, error) {
	n.asked++
	return n.chain.At(ctx, base, tid)
}

// Blobs compares with what the node has noted.
func (n *node) Blobs(_ context.Context, query *protocol.BlobQuery) (*protocol.BlobAnswer, error) {
	noted, err := OpenDigests(vfs.OS{}, n.path)
	answer := new(protocol.BlobAnswer)
	for i, asked := range query.All() {
		is, committed, known := noted.Find(asked.Oid, asked.Tid)
		if !known {
			continue
		}
		if answer.Known++; is != asked {
			answer.AddOther(i, is)
			if committed {
				answer.Committed = append(answer.Committed, i)
			}
		}
	}
	return answer, err
}

func (n *node) Close() error { return nil }

func (n *node) peer(name string) Peer {
	return Peer{Name: name, Ask: func(context.Context, *atomic.Int64) (Remote, error) { return n, nil }}
}

// follow has the chain of a storage kept, as a node does.
func (s *site) follow() *node {
	s.t.Helper()
	s.kept()
	l := hashchain.Keep(s.st, hashchain.Options{})
	s.t.Cleanup(l.Close)
	for !l.Status().Known {
		if runtime.Gosched(); s.t.Context().Err() != nil {
			s.t.Fatal("no chain")
		}
	}
	return &node{site: s, chain: l}
}

// copyOf makes another copy of a storage, up to a transaction.
func (s *site) copyOf(upTo zodb.Tid) *site {
	s.t.Helper()
	c := newSite(s.t, vfs.OS{}, filepath.Join(s.t.TempDir(), "Data.fs"))
	s.t.Cleanup(func() { _ = c.st.Close() })
	for txn, err := range s.st.Transactions(s.t.Context(), 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		if txn.Meta().Tid > upTo {
			break
		}
		if err := replay(s.t.Context(), c.st, txn); err != nil {
			s.t.Fatal(err)
		}
	}
	return c
}

func replay(ctx context.Context, to *filestorage.Storage, txn zodb.Transaction) error {
	out, err := to.Replay(ctx, txn.Meta())
	if err != nil {
		return err
	}
	for rec, err := range zodb.Records(txn) {
		if err != nil {
			return err
		}
		if err := out.Restore(rec); err != nil {
			return err
		}
	}
	_, err = out.Finish(ctx, nil)
	return err
}

func grownSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs"))
	t.Cleanup(func() { _ = s.st.Close() })
	s.grow(80)
	return s
}

func TestEqualNodesAreEqualAfterOneQuestion(t *testing.T) {
	s := grownSite(t)
	half := s.st.LastTid()
	s.grow(20)
	same, behind := s.copyOf(s.st.LastTid()).follow(), s.copyOf(half).follow()
	empty := s.copyOf(0).follow()
	r := runPass(t, Options{Path: s.path, Kept: s.kept(), Peers: []Peer{same.peer("same"), behind.peer("behind"),
		empty.peer("empty")}})
	if r.Attempted != 4 || r.Success != 4 || r.NoChange != 1 || r.HashMatch != 1 || r.Empty != 1 || r.Diff != 0 ||
		r.Failure != 0 || r.Damages > 0 {
		t.Errorf("got %s", r.Text())
	}
	if same.asked > 2 {
		t.Errorf("an equal node was asked %d times", same.asked)
	}
}

// Where two nodes have other content, or other transactions, the first one is named.
func TestTheFirstTransactionThatDiffersIsNamed(t *testing.T) {
	s := grownSite(t)
	fork := s.st.LastTid()
	mine := s.copyOf(fork)
	want := mine.commit(10, 1)
	mine.grow(10)
	other := s.copyOf(fork)
	theirs := other.commit(10, 2) // after want
	other.grow(10)
	r := runPass(t, Options{Path: mine.path, Peers: []Peer{other.follow().peer("other")}})
	if r.Diff != 1 || r.Failure != 1 || len(r.Findings) != 1 || *r.Findings[0].Tid != want ||
		r.Findings[0].Where != Unknown || r.FailureNodes["other"] == "" {
		t.Errorf("want %v: %s %v", want, r.Text(), r.FailureNodes)
	}
	r = runPass(t, Options{Path: other.path, Peers: []Peer{mine.follow().peer("mine")}})
	if r.Diff != 1 || *r.Findings[0].Tid != want || theirs < want {
		t.Errorf("from the other side: want %v: %s", want, r.Text())
	}
}

func TestATransactionThatOneNodeLacksIsNamed(t *testing.T) {
	s := grownSite(t)
	for name, drop := range map[string]int{"the first": 0, "one in the middle": 40, "the last but one": 78} {
		t.Run(name, func(t *testing.T) {
			lacking, n := newSite(t, vfs.OS{}, filepath.Join(t.TempDir(), "Data.fs")), 0
			t.Cleanup(func() { _ = lacking.st.Close() })
			var want zodb.Tid
			for txn, err := range s.st.Transactions(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if n == drop {
					want = txn.Meta().Tid
				} else if err := replay(t.Context(), lacking.st, txn); err != nil {
					t.Fatal(err)
				}
				n++
			}
			r := runPass(t, Options{Path: s.path, Peers: []Peer{lacking.follow().peer("lacking")}})
			if r.Diff != 1 || *r.Findings[0].Tid != want {
				t.Errorf("want %v", want)
			}
			r = runPass(t, Options{Path: lacking.path, Peers: []Peer{s.follow().peer("whole")}})
			if r.Diff != 1 || *r.Findings[0].Tid != want {
				t.Errorf("from the other side: want %v", want)
			}
		})
	}
}

// recordAt returns where the data of a record in the middle of the file are, and its transaction.
func (s *site) middle(n int) (pos int64, tid zodb.Tid) {
	s.t.Helper()
	in, err := filestorage.Inspect(s.disk, s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	for txn, err := range in.Transactions() {
		if err != nil {
			s.t.Fatal(err)
		}
		if n--; n < 0 {
			return txn.End() - 40, txn.Meta.Tid
		}
	}
	s.t.Fatal("there are fewer transactions")
	return 0, 0
}

// Rot on this disk and on the other node's are told apart, and the transaction is named, from either side.
func TestRotHereIsToldFromRotThere(t *testing.T) {
	for _, n := range []int{0, 33, 79} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := grownSite(t)
			kept := s.kept()
			other := s.copyOf(s.st.LastTid())
			at, tid := s.middle(n)
			s.flip(s.path, at, 3)

			// Here: what was kept of the chain proves it, and the other node names the transaction.
			r := runPass(t, Options{Path: s.path, Kept: kept, Peers: []Peer{other.follow().peer("other")}})
			located := false
			for i := range r.Findings {
				f := &r.Findings[i]
				if f.Where != Here {
					t.Errorf("not here: %v", f)
				}
				located = located || *f.Tid == tid && f.Pos != nil || f.Kind == KindChain && *f.Tid == tid
			}
			if !located || r.Damages == 0 {
				t.Errorf("%v was not named: %s", tid, r.Text())
			}

			// There: the other node, which has computed its chain from the damaged file.
			r = runPass(t, Options{Path: other.path, Kept: other.kept(), Peers: []Peer{s.follow().peer("rotten")}})
			if r.Diff != 1 || len(r.Findings) != 1 || r.Findings[0].Where != There || *r.Findings[0].Tid != tid {
				t.Errorf("%v was not named: %s", tid, r.Text())
			}
		})
	}
}

func TestANodeThatDoesNotAnswerIsAFailure(t *testing.T) {
	s := grownSite(t)
	silent := Peer{Name: "silent", Ask: func(context.Context, *atomic.Int64) (Remote, error) {
		return nil, errors.New("connection refused")
	}}
	r := runPass(t, Options{Path: s.path, Peers: []Peer{silent, s.copyOf(s.st.LastTid()).follow().peer("same")}})
	if r.Attempted != 3 || r.Success != 2 || r.Failure != 1 || r.FailureNodes["silent"] != "connection refused" ||
		r.Damages > 0 || r.Error != nil {
		t.Errorf("got %s", r.Text())
	}
}

// After a pack here the part after it is still compared.
func TestAPackedFileIsComparedFromAfterThePack(t *testing.T) {
	s := grownSite(t)
	stop := s.st.LastTid()
	s.grow(40)
	other := s.copyOf(s.st.LastTid())
	if _, err := s.st.Pack(t.Context(), stop, filestorage.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	r := runPass(t, Options{Path: s.path, Peers: []Peer{other.follow().peer("unpacked")}})
	if r.NoChange != 1 || r.Damages > 0 {
		t.Errorf("got %s %v", r.Text(), r.FailureNodes)
	}
	r = runPass(t, Options{Path: other.path, Peers: []Peer{s.follow().peer("packed")}})
	if r.NoChange != 1 || r.Damages > 0 {
		t.Errorf("from the other side: %s %v", r.Text(), r.FailureNodes)
	}
}

// A copy is compared with another file as with a node, and nothing is written beside either.
func TestACopyIsComparedWithAFile(t *testing.T) {
	s := grownSite(t)
	half := s.st.LastTid()
	s.grow(20)
	backup, whole := s.copyOf(half), s.copyOf(s.st.LastTid())
	at, tid := backup.middle(30)
	before, other := names(t, filepath.Dir(backup.path)), names(t, filepath.Dir(whole.path))
	dry := func(path string) *Pass {
		return runPass(t, Options{Path: path, Dry: true, Peers: []Peer{FilePeer(nil, whole.path)}})
	}
	if r := dry(backup.path); r.HashMatch != 1 || r.Compared[0].Tid != half || r.Compared[0].Transactions != 80 ||
		r.Compared[0].Last != s.st.LastTid() {
		t.Errorf("got %s, %+v", r.Text(), r.Compared)
	}
	if diff := changedNames(before, names(t, filepath.Dir(backup.path))); len(diff) > 0 {
		t.Errorf("it has written %v", diff)
	}
	backup.flip(backup.path, at, 2)
	r := dry(backup.path)
	if r.Diff != 1 || r.Compared[0].Equal || r.Compared[0].Transactions != 30 || *r.Findings[0].Tid != tid {
		t.Errorf("want %v: %s, %+v", tid, r.Text(), r.Compared)
	}
	if f := &r.Findings[0]; f.Where != Unknown || !strings.Contains(f.Text, "nothing is noted here that says which") {
		t.Errorf("the damaged one has no notes, and says of the other one: %s", f.Text)
	}
	if diff := changedNames(other, names(t, filepath.Dir(whole.path))); len(diff) > 0 {
		t.Errorf("it has written %v", diff)
	}
}
