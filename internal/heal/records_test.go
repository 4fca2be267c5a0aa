package heal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/zodb"
)

// packed packs a copy up to a part of its transactions, and opens it again.
func (c *copied) packed(keep int) {
	c.t.Helper()
	var tids []zodb.Tid
	for _, r := range c.records() {
		if len(tids) == 0 || tids[len(tids)-1] != r.Tid {
			tids = append(tids, r.Tid)
		}
	}
	r, err := c.st.Pack(c.t.Context(), tids[len(tids)-keep], filestorage.PackOptions{})
	if err != nil || !r.Packed {
		c.t.Fatalf("%+v, %v", r, err)
	}
	c.close()
	c.open()
}

// records are those with data of their own.
func (c *copied) records() (list []filestorage.RawRecord) {
	c.t.Helper()
	in, err := filestorage.Inspect(nil, c.data())
	if err != nil {
		c.t.Fatal(err)
	}
	defer in.Close()
	for _, err := range in.Transactions() {
		if err != nil {
			c.t.Fatal(err)
		}
		for rec, err := range in.Records() {
			if err != nil {
				c.t.Fatal(err)
			}
			if rec.Size > 0 {
				list = append(list, *rec)
			}
		}
	}
	return list
}

// of100 are the files of a storage with 100 transactions, which are made once: each commit is synced.
var of100 fstest.MapFS

// pairOf100 is pair, of 100 transactions.
func pairOf100(t *testing.T) (here, there *copied) {
	t.Helper()
	if of100 == nil {
		c := openCopy(t, t.TempDir())
		c.fill(100)
		c.close()
		files := fstest.MapFS{}
		err := fs.WalkDir(os.DirFS(c.dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files[path] = &fstest.MapFile{Data: read(t, filepath.Join(c.dir, path)), Mode: 0o644}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		of100 = files
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, of100); err != nil {
		t.Fatal(err)
	}
	return openCopy(t, duplicate(t, dir)), openCopy(t, dir)
}

// apart are pairs of copies of one history that have other offsets. What is here was verified once.
var apart = map[string]func(t *testing.T) (here, there *copied){
	"the other node is packed": func(t *testing.T) (here, there *copied) {
		t.Helper()
		here, there = pairOf100(t)
		there.packed(60)
		return here, there
	},
	"this node is packed": func(t *testing.T) (here, there *copied) {
		t.Helper()
		here, there = pairOf100(t)
		here.packed(60)
		return here, there
	},
	"both are packed": func(t *testing.T) (here, there *copied) {
		t.Helper()
		here, there = pairOf100(t)
		here.packed(70)
		there.packed(30)
		return here, there
	},
}

func eachApart(t *testing.T, test func(t *testing.T, here, there *copied)) {
	t.Helper()
	for name, copies := range apart {
		t.Run(name, func(t *testing.T) {
			here, there := copies(t)
			here.noted()
			test(t, here, there)
		})
	}
}

// noted verifies a copy that is right, which notes checksums.
func (c *copied) noted() {
	c.t.Helper()
	if pass, err := c.pass(c.t.Context()); err != nil || pass.Damages > 0 {
		c.t.Fatal(pass.Text(), err)
	}
}

// gives reports whether a copy has the data of a record of another one.
func (c *copied) gives(r *filestorage.RawRecord) bool {
	_, err := c.st.LoadSerial(r.Oid, r.Tid)
	return err == nil
}

// The data of a record are healed from a node where they are at another offset.
func TestRecordsAreHealedFromOtherOffsets(t *testing.T) {
	eachApart(t, func(t *testing.T, here, there *copied) {
		t.Helper()
		peer := there.serve("db2")
		was := read(t, here.data())
		healed := 0
		for i, r := range here.records() {
			if i%17 != 0 || !there.gives(&r) {
				continue
			}
			flip(t, here.data(), r.Pos+recordHead+r.Size/2, 3)
			report, pass := here.heals(here.options(peer))
			if !bytes.Equal(read(t, here.data()), was) {
				t.Fatalf("the record at %d is not what it was: %+v", r.Pos, report)
			}
			if report == nil || report.Healed == 0 || report.Failed > 0 || pass.Damages > 0 {
				t.Errorf("%+v, then: %s", report, pass.Text())
			}
			healed++
		}
		if healed < 4 {
			t.Errorf("only %d records were tried", healed)
		}
	})
}

// Several records may be damaged in one block, or between two checkpoints, and the texts of transactions, too.
func TestManyRecordsAndTextsAreHealedTogether(t *testing.T) {
	eachApart(t, func(t *testing.T, here, there *copied) {
		t.Helper()
		peer := there.serve("db2")
		was := read(t, here.data())
		list := slices.DeleteFunc(here.records(), func(r filestorage.RawRecord) bool { return !there.gives(&r) })
		for i, r := range list {
			if i%5 == 0 {
				flip(t, here.data(), r.Pos+recordHead+r.Size-2, 1)
				flip(t, here.data(), r.Pos+recordHead+1, 6)
			}
			user := r.Tloc + transactionHead
			if i%7 == 0 && string(was[user:user+4]) == "user" {
				flip(t, here.data(), user+2, 2)
			}
		}
		report, pass := here.heals(here.options(peer))
		if !bytes.Equal(read(t, here.data()), was) {
			t.Error("the file is not what it was")
		}
		if report == nil || report.Failed > 0 || pass.Damages > 0 {
			t.Errorf("%+v, then: %s", report, pass.Text())
		}
	})
}

// Whatever is damaged, a byte becomes what it was, or stays as it is.
func TestFlipsAnywhereAreHealedOrLeft(t *testing.T) {
	eachApart(t, func(t *testing.T, here, there *copied) {
		t.Helper()
		peer := there.serve("db2")
		was := read(t, here.data())
		random := rand.New(rand.NewPCG(7, 8))
		healed := 0
		for range 12 {
			at := random.Int64N(int64(len(was)))
			flip(t, here.data(), at, random.IntN(8))
			damaged := read(t, here.data())
			report, _ := here.heals(here.options(peer))
			now := read(t, here.data())
			switch {
			case bytes.Equal(now, was):
				healed++
			case !bytes.Equal(now, damaged):
				t.Fatalf("after a flip at %d something else was written: %+v", at, report)
			case report == nil || report.Failed == 0:
				t.Errorf("a flip at %d was not healed, and no failure: %+v", at, report)
			}
			put(t, here.data(), was[at:at+1], at)
		}
		if healed == 0 {
			t.Error("nothing was healed")
		}
	})
}

func put(t *testing.T, path string, b []byte, at int64) {
	t.Helper()
	for now := read(t, path); now[at] != b[0]; now = read(t, path) {
		for bit := range 8 {
			if (now[at]^b[0])>>bit&1 != 0 {
				flip(t, path, at, bit)
			}
		}
	}
}

// A liar gives other data than it has.
type liar struct {
	primary.Revisions
	lie func(data []byte, size *int64) error
}

func (l liar) ReadRevision(b []byte, oid zodb.Oid, tid zodb.Tid, off int64) (n int, size int64, err error) {
	n, size, err = l.Revisions.ReadRevision(b, oid, tid, off)
	if n == 0 {
		return n, size, err
	}
	if lie := l.lie(b[:n], &size); lie != nil {
		err = lie
	}
	return int(min(int64(n), size)), size, err
}

// A node that gives wrong data changes nothing, and it is said why it cannot help; the next one heals.
func TestDataThatAreNotProvedAreNotWritten(t *testing.T) {
	here, there := apart["the other node is packed"](t)
	here.noted()
	list := slices.DeleteFunc(here.records(), func(r filestorage.RawRecord) bool { return !there.gives(&r) })
	r := list[len(list)/2]
	flip(t, here.data(), r.Pos+recordHead+20, 3)
	damaged := read(t, here.data())
	var damage *PeerDamagedError
	var lacking *SameDataError
	for name, c := range map[string]struct {
		lie func([]byte, *int64) error
		as  any
	}{
		"other bytes": {func(b []byte, _ *int64) error { b[len(b)-1] ^= 1; return nil }, &damage},
		"zeros":       {func(b []byte, _ *int64) error { clear(b); return nil }, &damage},
		"shorter":     {func(_ []byte, size *int64) error { *size--; return nil }, &lacking},
		"longer":      {func(_ []byte, size *int64) error { *size += 10; return nil }, &lacking},
		"huge":        {func(_ []byte, size *int64) error { *size = 1 << 60; return nil }, &lacking},
		"none":        {func([]byte, *int64) error { return &zodb.POSKeyError{} }, &lacking},
		"unreadable":  {func([]byte, *int64) error { return errors.New("the disk is out") }, &lacking},
	} {
		t.Run(name, func(t *testing.T) {
			peer := there.serveWith(name, liar{there.st, c.lie})
			report, _ := here.heals(here.options(peer))
			if report.Healed > 0 || report.Failed == 0 || !bytes.Equal(read(t, here.data()), damaged) {
				t.Errorf("%+v", report)
			}
			if err := here.tries(peer); !errors.As(err, c.as) {
				t.Errorf("it fails with %v", err)
			}
		})
	}
	lies := there.serveWith("liar", liar{there.st, func(b []byte, _ *int64) error { clear(b); return nil }})
	report, pass := here.heals(here.options(lies, there.serve("good")))
	if report.Failed > 0 || pass.Damages > 0 || *report.Items[0].Peer != "good" {
		t.Errorf("%+v, then: %s", report, pass.Text())
	}
}

// tries heals the first part that a verification finds, and returns why that is not possible.
func (c *copied) tries(peers ...Peer) error {
	c.t.Helper()
	h := newHealer(c.options(peers...))
	defer h.close()
	pass, err := c.pass(c.t.Context())
	if err := errors.Join(err, h.refresh()); err != nil || len(pass.Suspects) == 0 {
		c.t.Fatal(err, pass.Text())
	}
	return h.data(c.t.Context(), &pass.Suspects[0], &Item{})
}

// A node of an older version gives no single records, and is not asked for them.
func TestAnOlderNodeWithOtherOffsetsCannotHelp(t *testing.T) {
	here, there := apart["the other node is packed"](t)
	here.noted()
	list := here.records()
	flip(t, here.data(), list[len(list)-5].Pos+recordHead+20, 3)
	err := here.tries(there.serveWith("older", nil))
	if err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("it fails with %v", err)
	}
}

// What is damaged in a header is not to be had from other offsets, and the error says so.
func TestADamagedHeaderIsNotHealedFromOtherOffsets(t *testing.T) {
	eachApart(t, func(t *testing.T, here, there *copied) {
		t.Helper()
		list := here.records()
		r := list[len(list)-8]
		peer := there.serve("db2")
		for name, at := range map[string]int64{"length": r.Pos + 40, "previous": r.Pos + 22} {
			flip(t, here.data(), at, 3)
			damaged := read(t, here.data())
			if err := here.tries(peer); err == nil || !strings.Contains(err.Error(), "packed as this one") {
				t.Errorf("%s: %v", name, err)
			}
			if !bytes.Equal(read(t, here.data()), damaged) {
				t.Errorf("%s: something was written", name)
			}
			flip(t, here.data(), at, 3)
		}
	})
}

// Where nothing was noted that proves a record, nothing is written.
func TestRecordsWithoutEvidenceAreLeft(t *testing.T) {
	here, there := apart["this node is packed"](t)
	r := here.records()[0]
	flip(t, here.data(), r.Pos+recordHead+r.Size/2, 3)
	damaged := read(t, here.data())
	report, err := Run(t.Context(), here.options(there.serve("db2")), []verify.Suspect{{From: r.Pos, To: r.Pos + 1,
		Found: "a load"}})
	if err != nil || report.Healed > 0 || !strings.Contains(*report.Items[0].Error, "noted") ||
		!bytes.Equal(read(t, here.data()), damaged) {
		t.Errorf("%+v, %v", report, err)
	}
}

// A node that leaves in the middle of an answer ends only its own turn.
func TestANodeThatLeavesInTheMiddleIsPassedOver(t *testing.T) {
	here, there := apart["the other node is packed"](t)
	here.noted()
	list := slices.DeleteFunc(here.records(), func(r filestorage.RawRecord) bool { return !there.gives(&r) })
	flip(t, here.data(), list[len(list)-5].Pos+recordHead+20, 3)
	var asked []*hashchain.Remote
	left := 0
	leaves := there.serveWith("leaves", liar{there.st, func([]byte, *int64) error {
		left++
		return asked[len(asked)-1].Close()
	}})
	ask := leaves.Ask
	leaves.Ask = func(ctx context.Context) (*hashchain.Remote, error) {
		r, err := ask(ctx)
		asked = append(asked, r)
		return r, err
	}
	report, pass := here.heals(here.options(leaves, there.serve("good")))
	if left == 0 || report.Failed > 0 || pass.Damages > 0 || *report.Items[0].Peer != "good" {
		t.Errorf("%d left, %+v, then: %s", left, report, pass.Text())
	}
}
