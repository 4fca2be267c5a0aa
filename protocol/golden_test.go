package protocol_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// Every file that the real ZODB wrote goes through the stream with nothing lost: what comes out has the same metadata,
// digest, back pointers and links as what went in.
func TestRealFilesComeThroughTheStream(t *testing.T) {
	files, err := filepath.Glob("../testdata/filestorage/*/Data.fs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			damaged := strings.HasPrefix(filepath.Base(filepath.Dir(path)), "corrupt-")
			s, err := filestorage.Open(t.Context(), path, filestorage.Options{ReadOnly: true, MustExist: true})
			if damaged && err != nil {
				return // nothing to send
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			var wire bytes.Buffer
			want, end := send(t, s, &wire)
			if !damaged && !errors.Is(end, io.EOF) {
				t.Fatal(end)
			}
			got := receive(t, &wire)
			if len(got) != len(want) {
				t.Fatalf("%d transactions came out of %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("transaction %d:\n got %+v\nwant %+v", i, got[i], want[i])
				}
			}
		})
	}
}

// A gist is what a transaction must not lose.
type gist struct {
	meta   string
	links  string
	digest zodb.Digest
}

// linked notes, besides what it passes on, what the digest leaves out.
type linked struct {
	zodb.Transaction
	links []byte
}

func (l *linked) NextRecord() (*zodb.Record, error) {
	r, err := l.Transaction.NextRecord()
	if err == nil {
		id := r.DataTxn.Bytes()
		l.links = append(l.links, id[:]...)
		if r.HasPrev {
			l.links = append(l.links, '<')
		}
	}
	return r, err
}

func take(t *testing.T, txn zodb.Transaction) gist {
	t.Helper()
	l := &linked{Transaction: txn}
	m := txn.Meta()
	meta := string(m.Status) + string(m.User) + "|" + string(m.Description) + "|" + string(m.Extension)
	digest, err := zodb.DigestOf(l)
	if err != nil {
		t.Fatal(err)
	}
	return gist{meta: meta, links: string(l.links), digest: digest}
}

// send encodes all transactions that can be read. It returns what they must not lose, and why there were no more.
func send(t *testing.T, s *filestorage.Storage, w io.Writer) (gists []gist, end error) {
	t.Helper()
	e := protocol.NewEncoder(w, 0)
	out, look := iterate(t, s), iterate(t, s)
	for {
		txn, err := look.Next(t.Context())
		if err != nil {
			if ferr := e.Flush(); ferr != nil {
				t.Fatal(ferr)
			}
			return gists, err
		}
		gists = append(gists, take(t, txn))
		again, err := out.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Encode(again); err != nil {
			t.Fatal(err)
		}
	}
}

func iterate(t *testing.T, s *filestorage.Storage) zodb.Iterator {
	t.Helper()
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = it.Close() })
	return it
}

func receive(t *testing.T, r io.Reader) (gists []gist) {
	t.Helper()
	d := protocol.NewDecoder(r, 0, protocol.Limits{})
	for {
		txn, err := d.Next()
		if errors.Is(err, io.EOF) {
			return gists
		}
		if err != nil {
			t.Fatal(err)
		}
		gists = append(gists, take(t, txn))
	}
}
