package integration

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/zodb"
)

// healed runs zrsd heal --json and returns the report and the exit code.
func healed(t *testing.T, args ...string) (*heal.Report, int) {
	t.Helper()
	out, err := exec.CommandContext(within(t), zrsd, append([]string{"heal", "--json"}, args...)...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	report := new(heal.Report)
	if err := json.Unmarshal(out, report); err != nil {
		t.Fatalf("%v in %s, %v: %s", err, out, exit, exit.Stderr)
	}
	if exit != nil {
		return report, exit.ExitCode()
	}
	return report, 0
}

// spots are offsets of a data file, by what is there.
func spots(t *testing.T, path string) map[string][]int64 {
	t.Helper()
	in, err := filestorage.Inspect(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	all := map[string][]int64{"magic": {1}}
	add := func(what string, at int64) { all[what] = append(all[what], at) }
	for txn, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		add("transaction: tid", txn.Pos+5)
		add("transaction: length", txn.Pos+14)
		add("transaction: status", txn.Pos+16)
		add("second length", txn.End()-3)
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			add("record: oid", rec.Pos+6)
			add("record: previous", rec.Pos+21)
			add("record: transaction", rec.Pos+30)
			if rec.Size > 0 {
				add("pickle", rec.Pos+42+rec.Size/2)
			} else {
				add("back pointer", rec.Pos+42+6)
			}
		}
	}
	return all
}

// pairOfNodes runs a primary and a secondary with the same history, both verified once. With --heal ask on one of them
// it only heals when it is asked.
func pairOfNodes(t *testing.T) (source, target *site, primary, secondary *daemon.Process) {
	t.Helper()
	source, target = newSite(t, true), newSite(t, true)
	ownHistory(t, source, 300)
	last := undoSome(t, source, 5)
	addr := freeAddress(t)
	primary = start(t, "primary", source, "--replicate-to", addr, "--verify-rate", "0")
	secondary = start(t, "secondary", target, "--replicate-from", addr, "--replicate-to", freeAddress(t),
		"--verify-rate", "0")
	mustReach(t, secondary, last)
	for i, p := range []*daemon.Process{primary, secondary} {
		if _, err := p.Await(within(t), "its chain is complete", chainComplete); err != nil {
			t.Fatal(err)
		}
		s := []*site{source, target}[i]
		if pass, code := verified(t, filepath.Join(s.dir, "admin")); code != 0 {
			t.Fatalf("exit code %d: %s %v", code, pass.Text(), pass.FailureNodes)
		}
	}
	mustBeIdentical(t, source, target)
	return source, target, primary, secondary
}

// undoSome undoes transactions, which makes records with back pointers, and returns the tid of the last.
func undoSome(t *testing.T, s *site, n int) zodb.Tid {
	t.Helper()
	st := s.open(t)
	list, err := st.UndoLog(t.Context(), 0, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
		if err == nil {
			_, err = txn.Undo(t.Context(), e.Tid)
		}
		if err == nil {
			_, err = txn.Finish(t.Context(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	last := st.LastTid()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return last
}

// healsItself has a secondary verify, after which it heals by itself.
func healsItself(t *testing.T, s *site, p *daemon.Process) {
	t.Helper()
	if pass, code := verified(t, filepath.Join(s.dir, "admin"), "--all-blobs"); code != 1 || pass.Damages == 0 {
		t.Fatalf("exit code %d: %s", code, pass.Text())
	}
	_, err := p.Await(within(t), "nothing is damaged any more", func(st *admin.Status) bool {
		return len(st.Troubles) == 0 && st.Heal.Pending == 0 && st.Heal.Healed > 0 && st.Verify.Running == nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A bit flips anywhere in the files of a running node, in each kind of place: it is found and healed to byte identity,
// on a secondary by itself, on a primary by zrsd heal, from the other one; and the real ZODB reads the files.
func TestAFlippedBitIsHealedOnBothNodes(t *testing.T) {
	source, target, primary, secondary := pairOfNodes(t)
	random := seededRand(t)
	places := spots(t, source.data)
	for _, what := range slices.Sorted(maps.Keys(places)) {
		list := places[what]
		t.Log(what)
		flipBit(t, target.data, list[random.IntN(len(list))])
		healsItself(t, target, secondary)
		mustBeIdentical(t, source, target)
		flipBit(t, source.data, list[random.IntN(len(list))])
		if report, code := healed(t, filepath.Join(source.dir, "admin")); code != 0 || report.Healed == 0 {
			t.Errorf("exit code %d: %s", code, report.Text())
		}
		mustBeIdentical(t, source, target)
		if t.Failed() {
			return
		}
	}
	flipInBlob(t, random, target)
	healsItself(t, target, secondary)
	flipInBlob(t, random, source)
	if report, code := healed(t, filepath.Join(source.dir, "admin")); code != 0 || report.Healed != 1 {
		t.Errorf("a blob: exit code %d: %s", code, report.Text())
	}
	mustBeIdentical(t, source, target)
	stop(t, secondary)
	stop(t, primary)
	checkNodes(t, source, target)
}

// checkNodes has the real ZODB read both copies.
func checkNodes(t *testing.T, sites ...*site) {
	t.Helper()
	for _, s := range sites {
		if out, err := exec.CommandContext(within(t), python(t), "-c", "import sys\n"+
			"from ZODB.FileStorage import FileIterator\n"+
			"print(sum(len(r.data or b'') for t in FileIterator(sys.argv[1]) for r in t))\n", s.data,
		).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func flipInBlob(t *testing.T, random *rand.Rand, s *site) {
	t.Helper()
	names := slices.Sorted(maps.Keys(blobFiles(t, s.blobs)))
	path := filepath.Join(s.blobs, names[random.IntN(len(names))])
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	flipBit(t, path, random.Int64N(info.Size()))
}

// A node that does not run, and whose file cannot be opened, is healed by zrsd heal --data; one that has the same
// damage as the other is not, and says so.
func TestFilesOfANodeThatDoesNotRunAreHealed(t *testing.T) {
	source, target, primary, secondary := pairOfNodes(t)
	addr := primaryAddress(t, secondary)
	stop(t, secondary)
	if err := os.Remove(target.data + ".index"); err != nil {
		t.Fatal(err)
	}
	places := spots(t, target.data)
	lengths := places["transaction: length"]
	for _, i := range []int{3, len(lengths) / 2, len(lengths) - 5} {
		flipBit(t, target.data, lengths[i])
	}
	flipBit(t, target.data, places["pickle"][20])
	args := []string{"--data", target.data, "--blobs", target.blobs, "--from", addr}
	if report, code := healed(t, append(args, "--dry-run")...); code != 1 || report.Healed != 1 {
		t.Errorf("a dry run: exit code %d: %s", code, report.Text())
	}
	if report, code := healed(t, args...); code != 0 || report.Healed == 0 || report.Failed > 0 {
		t.Errorf("exit code %d: %s", code, report.Text())
	}
	mustBeIdentical(t, source, target)
	at := places["pickle"][20]
	flipBit(t, target.data, at)
	flipBit(t, source.data, at)
	if report, code := healed(t, args...); code != 1 || report.Healed > 0 || report.Failed == 0 {
		t.Errorf("with the same damage on both: exit code %d: %s", code, report.Text())
	}
	flipBit(t, target.data, at)
	if report, code := healed(t, filepath.Join(source.dir, "admin")); code != 1 || report.Failed == 0 {
		t.Errorf("without another node: exit code %d: %s", code, report.Text())
	}
	stop(t, primary)
}

// primaryAddress is where a secondary has found its primary.
func primaryAddress(t *testing.T, secondary *daemon.Process) string {
	t.Helper()
	st, err := secondary.Await(within(t), "it follows", func(st *admin.Status) bool { return st.Upstream != nil })
	if err != nil {
		t.Fatal(err)
	}
	return *st.Upstream.Address
}

// Many bits flip at once, again and again, on both nodes in turn: 1,000 in the long run.
func TestManyFlippedBitsAreHealed(t *testing.T) {
	source, target, primary, secondary := pairOfNodes(t)
	random := seededRand(t)
	info, err := os.Stat(source.data)
	if err != nil {
		t.Fatal(err)
	}
	const atOnce = 20
	for round := range rounds(5) {
		s, p := source, primary
		if round%2 == 1 {
			s, p = target, secondary
		}
		for range atOnce {
			flipBit(t, s.data, random.Int64N(info.Size()))
		}
		flipInBlob(t, random, s)
		if s == source {
			if report, code := healed(t, filepath.Join(s.dir, "admin")); code != 0 {
				t.Fatalf("round %d: exit code %d: %s", round, code, report.Text())
			}
		} else {
			healsItself(t, s, p)
		}
		mustBeIdentical(t, source, target)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	stop(t, secondary)
	stop(t, primary)
	checkNodes(t, source, target)
}
