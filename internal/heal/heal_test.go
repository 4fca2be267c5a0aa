package heal

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/verify"
)

// A place is where something of a transaction is in the data file.
type place struct {
	name string
	at   int64
}

// places are those of one transaction with records and back pointers, in the middle of the file.
func places(t *testing.T, c *copied) (list []place) {
	t.Helper()
	in, err := filestorage.Inspect(nil, c.data())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for txn, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		if txn.Pos < in.Size()/2 {
			continue
		}
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Size > 0 && len(list) == 0 {
				list = append(list, place{"record: oid", rec.Pos + 7}, place{"record: tid", rec.Pos + 15},
					place{"record: prev", rec.Pos + 22}, place{"record: transaction", rec.Pos + 30},
					place{"record: length", rec.Pos + 40}, place{"record: data", rec.Pos + 60},
					place{"transaction: tid", txn.Pos + 7}, place{"transaction: length", txn.Pos + 14},
					place{"transaction: status", txn.Pos + 16}, place{"transaction: user", txn.Pos + 24},
					place{"transaction: length of user", txn.Pos + 18}, place{"second length", txn.End() - 2})
			}
			if rec.Size == 0 && rec.Back != 0 && len(list) > 0 {
				return append(list, place{"back pointer", rec.Pos + 42 + 6}, place{"back pointer, high", rec.Pos + 42},
					place{"magic", 1}, place{"first transaction", 4 + 7})
			}
		}
	}
	t.Fatal("there is no back pointer in the second half")
	return nil
}

// Whatever bit is flipped while the storage is open: it is found, and healed to byte identity from another node.
func TestAFlippedBitIsHealed(t *testing.T) {
	here, there := pair(t, 60)
	peer := there.serve("db2")
	for _, p := range places(t, here) {
		t.Run(p.name, func(t *testing.T) {
			before := kept(t, here)
			flip(t, here.data(), p.at, 3)
			report, pass := here.heals(here.options(peer))
			same(t, here, there)
			if report == nil || report.Healed == 0 || report.Failed > 0 || pass.Damages > 0 {
				t.Errorf("%+v, then: %s", report, pass.Text())
			}
			if kept(t, here) != before+int(report.Quarantined) || report.Quarantined == 0 {
				t.Errorf("quarantine has %d files, and %d were kept", kept(t, here)-before, report.Quarantined)
			}
		})
	}
}

// kept counts what is in quarantine.
func kept(t *testing.T, c *copied) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(c.dir, filestorage.QuarantineFolder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// Many flips at once, anywhere, also several between two checkpoints.
func TestManyFlipsAreHealed(t *testing.T) {
	here, there := pair(t, 100)
	peer := there.serve("db2")
	random := rand.New(rand.NewPCG(5, 6))
	size := here.st.Size()
	for range 40 {
		flip(t, here.data(), random.Int64N(size), random.IntN(8))
	}
	report, pass := here.heals(here.options(peer))
	same(t, here, there)
	if report.Failed > 0 && pass.Damages > 0 {
		t.Errorf("%+v, then: %s", report, pass.Text())
	}
}

// A blob that was changed, cut off, or lost.
func TestADamagedBlobIsHealed(t *testing.T) {
	here, there := pair(t, 60)
	peer := there.serve("db2")
	if pass, err := here.pass(t.Context()); err != nil || pass.Damages > 0 { // digests are noted
		t.Fatal(pass.Text(), err)
	}
	path := filepath.Join(here.dir, here.blobFiles()[2])
	for name, damage := range map[string]func(){
		"flipped": func() { flip(t, path, 1000, 1) },
		"cut":     func() { truncate(t, path, 100) },
		"empty":   func() { truncate(t, path, 0) },
		"longer":  func() { truncate(t, path, 100_000) },
		"missing": func() { remove(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			damage()
			report, pass := here.heals(here.options(peer))
			same(t, here, there)
			if report == nil || report.Healed != 1 || pass.Damages > 0 || !report.Items[0].Evidence {
				t.Errorf("%+v, then: %s", report, pass.Text())
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o644), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A missing blob of which nothing was noted is taken from a node that proves the same history, and only from one.
func TestAMissingBlobWithoutADigest(t *testing.T) {
	here, there := pair(t, 60)
	other := openCopy(t, t.TempDir())
	other.fill(30)
	path := filepath.Join(here.dir, here.blobFiles()[2])
	remove(t, path)
	report, _ := here.heals(here.options(other.serve("stranger")))
	if report.Failed != 1 || report.Healed != 0 {
		t.Errorf("from a node of another history: %+v", report)
	}
	report, _ = here.heals(here.options(there.serve("db2")))
	same(t, here, there)
	if report.Healed != 1 || report.Items[0].Evidence {
		t.Errorf("%+v", report)
	}
}

// A dry run says what would be done, and writes nothing.
func TestADryRunWritesNothing(t *testing.T) {
	here, there := pair(t, 60)
	if pass, err := here.pass(t.Context()); err != nil || pass.Damages > 0 {
		t.Fatal(pass.Text(), err)
	}
	peer := there.serve("db2")
	blob := filepath.Join(here.dir, here.blobFiles()[2])
	flip(t, here.data(), places(t, here)[5].at, 3)
	flip(t, blob, 100, 3)
	data, content := read(t, here.data()), read(t, blob)
	opt := here.options(peer)
	opt.Dry = true
	report, _ := here.heals(opt)
	if report.Healed < 2 || report.Failed > 0 || report.Quarantined > 0 || report.Items[0].Result != WouldHeal {
		t.Errorf("%+v", report)
	}
	if string(read(t, here.data())) != string(data) || string(read(t, blob)) != string(content) || kept(t, here) > 0 {
		t.Error("something was written")
	}
}

// A node that has the same damage, or another history, or does not answer, is passed over for the next one; alone it
// changes nothing, and the error says what is wrong with it.
func TestPeersThatCannotHelp(t *testing.T) {
	here, there := pair(t, 60)
	at := places(t, here)[5].at
	third := openCopy(t, duplicateOpen(t, there))
	flip(t, here.data(), at, 3)
	flip(t, third.data(), at, 5)
	stranger := openCopy(t, t.TempDir())
	stranger.fill(70)
	good := there.serve("good")
	var damaged *PeerDamagedError
	var other *OtherHistoryError
	for _, c := range []struct {
		peer Peer
		as   any
	}{
		{third.serve("damaged"), &damaged},
		{stranger.serve("stranger"), &other},
		{Peer{"silent", func(context.Context) (*hashchain.Remote, error) { return nil, errNoPeer }}, nil},
	} {
		before := read(t, here.data())
		report, _ := here.heals(here.options(c.peer))
		if report.Healed > 0 || report.Failed == 0 || string(read(t, here.data())) != string(before) {
			t.Errorf("%s: %+v", c.peer.Name, report)
		}
		if c.as != nil {
			h := newHealer(here.options(c.peer))
			defer h.close()
			pass, err := here.pass(t.Context())
			if err != nil || h.refresh() != nil {
				t.Fatal(err)
			}
			if err := h.data(t.Context(), &pass.Suspects[0], &Item{}); !errors.As(err, c.as) {
				t.Errorf("%s: %v", c.peer.Name, err)
			}
		}
	}
	report, _ := here.heals(here.options(third.serve("damaged"), stranger.serve("stranger"), good))
	same(t, here, there)
	if report.Failed > 0 || *report.Items[0].Peer != "good" {
		t.Errorf("%+v", report)
	}
}

// What another one has repaired while a node was asked is sound, and no damage of that node.
func TestWhatWasHealedMeanwhileIsSound(t *testing.T) {
	here, there := pair(t, 60)
	if pass, err := here.pass(t.Context()); err != nil || pass.Damages > 0 { // checksums are noted
		t.Fatal(pass.Text(), err)
	}
	at := places(t, here)[5].at
	flip(t, here.data(), at, 3)
	peer := there.serve("db2")
	ask := peer.Ask
	peer.Ask = func(ctx context.Context) (*hashchain.Remote, error) {
		flip(t, here.data(), at, 3)
		return ask(ctx)
	}
	h := newHealer(here.options(peer))
	defer h.close()
	pass, err := here.pass(t.Context())
	if err := errors.Join(err, h.refresh()); err != nil {
		t.Fatal(err)
	}
	var item Item
	if err := h.data(t.Context(), &pass.Suspects[0], &item); err != nil || item.Result != Sound {
		t.Errorf("%+v, %v", item, err)
	}
	same(t, here, there)
}

func duplicateOpen(t *testing.T, c *copied) string {
	t.Helper()
	c.close()
	dir := duplicate(t, c.dir)
	c.open()
	return dir
}

// What was packed has no hash chain: it is healed by the checksums of the last verification, and without those left
// alone.
func TestPackedTransactionsAreHealedByChecksums(t *testing.T) {
	for _, noted := range []bool{true, false} {
		there := openCopy(t, t.TempDir())
		there.fill(100)
		there.large(20)
		if _, err := there.st.Pack(t.Context(), there.st.LastTid(), filestorage.PackOptions{}); err != nil {
			t.Fatal(err)
		}
		there.fill(5)
		there.close()
		here := openCopy(t, duplicate(t, there.dir))
		there.open()
		if noted {
			if pass, err := here.pass(t.Context()); err != nil || pass.Damages > 0 {
				t.Fatal(pass.Text(), err)
			}
		}
		at := firstData(t, here)
		flip(t, here.data(), at-20, 3) // the length of the record's data
		report, pass := here.heals(here.options(there.serve("db2")))
		switch {
		case noted:
			same(t, here, there)
			if pass.Damages > 0 {
				t.Errorf("%+v, then: %s", report, pass.Text())
			}
		case report.Healed > 0 || report.Failed == 0:
			t.Errorf("without evidence: %+v", report)
		}
	}
}

// firstData returns where the data of the first record are, behind at least 20 bytes of its header.
func firstData(t *testing.T, c *copied) int64 {
	t.Helper()
	in, err := filestorage.Inspect(nil, c.data())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range in.Transactions() {
		for rec := range in.Records() {
			return rec.Pos + 60
		}
	}
	t.Fatal("no record")
	return 0
}

// A load that meets damage knows only where a record is: the transaction is found from there.
func TestDamageIsHealedFromAnOffset(t *testing.T) {
	here, there := pair(t, 60)
	peer := there.serve("db2")
	for _, p := range places(t, here) {
		if p.name == "magic" {
			continue
		}
		flip(t, here.data(), p.at, 3)
		report, err := Run(t.Context(), here.options(peer),
			[]verify.Suspect{{From: p.at, To: p.at + 1, Found: "a load"}})
		if err != nil || report.Healed != 1 {
			t.Errorf("%s: %+v, %v", p.name, report, err)
		}
		same(t, here, there)
	}
}
