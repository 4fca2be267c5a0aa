package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// A backuper is repozo, ZODB's or ours.
type backuper struct {
	name string
	args []string
}

func backupers(t *testing.T) (python, ours backuper) {
	t.Helper()
	return backuper{"repozo", []string{interpreter(t, "zodb"), "-m", "ZODB.scripts.repozo"}},
		backuper{"zrsd", []string{zrsd, "repozo"}}
}

// run runs it, and returns whether it was content.
func (b *backuper) run(t *testing.T, args ...string) (ok bool, text string) {
	t.Helper()
	cmd := exec.CommandContext(within(t), b.args[0], append(b.args[1:len(b.args):len(b.args)], args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil, string(out)
}

func (b *backuper) must(t *testing.T, args ...string) {
	t.Helper()
	if ok, text := b.run(t, args...); !ok {
		t.Fatalf("%s %q: %s", b.name, args, text)
	}
}

// backUp makes a backup in a second of its own: its time is its name.
func (b *backuper) backUp(t *testing.T, repository string, args ...string) {
	t.Helper()
	before := pieces(t, repository)
	for len(before) > 0 && strings.HasPrefix(before[len(before)-1], time.Now().UTC().Format("2006-01-02-15-04-05")) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	b.must(t, append([]string{"-B", "-r", repository}, args...)...)
}

// pieces lists the backups, without .dat and index.
func pieces(t *testing.T, repository string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "fs") {
			names = append(names, e.Name())
		}
	}
	return names
}

// commitMore adds transactions to a site that no server has.
func commitMore(t *testing.T, s *site, n int) {
	t.Helper()
	st := s.open(t)
	for i := range n {
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{Description: fmt.Appendf(nil, "%d", i)})
		if err == nil {
			oid := zodb.Oid(1 + i%7)
			serial := zodb.Tid(0)
			if data, tid, loadErr := st.Load(oid); loadErr == nil && data != nil {
				serial = tid
			}
			err = txn.Store(oid, serial, bytes.Repeat([]byte{'x', byte(i)}, 5000))
		}
		if err == nil {
			_, err = txn.Finish(t.Context(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each of the two programs goes on with, verifies and restores what the other one wrote, with gzip and without, and
// what is restored is the Data.fs byte for byte, with its index.
func TestRepositoriesOfRepozoAreUsedByBoth(t *testing.T) {
	python, ours := backupers(t)
	for _, c := range []struct {
		zip   bool
		order []backuper
	}{{false, []backuper{python, ours, python}}, {true, []backuper{ours, python, ours}}} {
		t.Run(fmt.Sprintf("%s first, gzip %v", c.order[0].name, c.zip), func(t *testing.T) {
			s := newSite(t, false)
			repository := filepath.Join(s.dir, "backups")
			if err := os.Mkdir(repository, 0o777); err != nil {
				t.Fatal(err)
			}
			for i, b := range c.order {
				commitMore(t, s, 5)
				args := []string{"-f", s.data}
				if c.zip {
					args = append(args, "-z")
				}
				if i == 1 {
					args = append(args, "-Q")
				}
				b.backUp(t, repository, args...)
				other := c.order[(i+1)%2]
				other.must(t, "-V", "-r", repository)
				mustRestore(t, &other, s, repository)
			}
			for _, v := range []backuper{python, ours} {
				v.must(t, "--verify", "--quick", "--repository", repository)
				mustRestore(t, &v, s, repository)
			}
			if names := pieces(t, repository); len(names) != 3 || strings.Contains(names[0], "delta") ||
				!strings.Contains(names[1], "delta") || !strings.Contains(names[2], "delta") {
				t.Errorf("the repository has %q", names)
			}
			mustCompleteAndForget(t, s, repository, python, ours)
		})
	}
}

// mustRestore restores the Data.fs as it is now.
func mustRestore(t *testing.T, b *backuper, s *site, repository string) {
	t.Helper()
	out := filepath.Join(s.dir, "restored.fs")
	b.must(t, "-R", "-w", "-r", repository, "-o", out)
	compareFiles(t, s.data, out)
	compareFiles(t, s.data+".index", out+".index")
	if _, err := os.Stat(out + ".part"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s left a part: %v", b.name, err)
	}
}

// mustCompleteAndForget damages a piece, which both programs notice, and makes full backups with -k, after each of
// which only that one is there.
func mustCompleteAndForget(t *testing.T, s *site, repository string, programs ...backuper) {
	t.Helper()
	names := pieces(t, repository)
	last := filepath.Join(repository, names[len(names)-1])
	text, err := os.ReadFile(last)
	if err == nil {
		text[len(text)/2] ^= 0xff
		err = os.WriteFile(last, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range programs {
		if ok, text := b.run(t, "-V", "-r", repository); ok {
			t.Errorf("%s verifies a damaged piece: %s", b.name, text)
		}
	}
	for _, b := range programs {
		b.backUp(t, repository, "-f", s.data, "-F", "-k")
		if names := pieces(t, repository); len(names) != 1 || !strings.HasSuffix(names[0], ".fs") {
			t.Errorf("after -k of %s there is %q", b.name, names)
		}
	}
	for _, v := range programs {
		v.must(t, "-V", "-r", repository)
		mustRestore(t, &v, s, repository)
	}
}

// After a pack both programs begin a new chain, and the state of before is restored by its date.
func TestAPackBeginsANewChain(t *testing.T) {
	python, ours := backupers(t)
	for _, b := range []backuper{python, ours} {
		s := newSite(t, false)
		repository := filepath.Join(s.dir, "backups")
		if err := os.Mkdir(repository, 0o777); err != nil {
			t.Fatal(err)
		}
		commitMore(t, s, 20)
		b.backUp(t, repository, "-f", s.data)
		old, err := os.ReadFile(s.data)
		if err != nil {
			t.Fatal(err)
		}
		server := start(t, "serve", s, "--zeo", filepath.Join(s.dir, "zeo"))
		command(t, "pack", filepath.Join(s.dir, "admin"), "--no-gc")
		b.backUp(t, repository, "-f", s.data) // beside the server
		stop(t, server)
		names := pieces(t, repository)
		if len(names) != 2 || strings.Contains(names[1], "delta") {
			t.Fatalf("after a pack %s has %q", b.name, names)
		}
		for _, v := range []backuper{python, ours} {
			out := filepath.Join(s.dir, "old.fs")
			v.must(t, "-R", "-r", repository, "-o", out, "-D", strings.TrimSuffix(names[0], ".fs"))
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, old) {
				t.Errorf("%s restores %d bytes, want %d, %v", v.name, len(got), len(old), err)
			}
			out = filepath.Join(s.dir, "new.fs")
			v.must(t, "-R", "-r", repository, "-o", out)
			compareFiles(t, s.data, out)
		}
	}
}

// The Data.fs of a running node is backed up over its replication address, while clients write to it: in full, then as
// deltas, and in full again after a pack. Python's repozo verifies and restores all of it, and goes on with it from the
// file.
func TestTheDataFileOfARunningNodeIsBackedUp(t *testing.T) {
	python, ours := backupers(t)
	s, to, live := newSite(t, true), freeAddress(t), freeAddress(t)
	repository := filepath.Join(s.dir, "backups")
	if err := os.Mkdir(repository, 0o777); err != nil {
		t.Fatal(err)
	}
	s.open(t).Close()
	node := start(t, "primary", s, "--replicate-to", to, "--zeo", live)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, live)
	writer.do(t, "create 9")
	for i, args := range [][]string{nil, nil, {"-Q"}, {"-z"}} {
		writer.begin(t, "commit 40") // meanwhile
		ours.backUp(t, repository, append([]string{"--from", to}, args...)...)
		writer.answer(t, "commit 40")
		python.must(t, "-V", "-r", repository)
		if names := pieces(t, repository); len(names) != i+1 || i > 0 && !strings.Contains(names[i], "delta") {
			t.Fatalf("after backup %d there is %q", i, names)
		}
	}
	command(t, "pack", filepath.Join(s.dir, "admin"), "--no-gc")
	ours.backUp(t, repository, "--from", filepath.Join(s.dir, "admin")) // the admin address leads to the other one
	if names := pieces(t, repository); len(names) != 5 || strings.Contains(names[4], "delta") {
		t.Errorf("after a pack there is %q", names)
	}
	writer.close(t)
	stop(t, node)
	for _, b := range []backuper{python, ours} {
		mustRestore(t, &b, s, repository)
	}
	commitMore(t, s, 5)
	python.backUp(t, repository, "-f", s.data)
	if names := pieces(t, repository); len(names) != 6 || !strings.Contains(names[5], "delta") {
		t.Errorf("Python's repozo has not gone on: %q", names)
	}
	if ok, text := ours.run(t, "-B", "-r", repository, "--from", to); ok || !strings.Contains(text, to) {
		t.Errorf("of a node that is stopped: %s", text)
	}
}
