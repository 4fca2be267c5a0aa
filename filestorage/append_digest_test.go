package filestorage

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// read returns what an Appender says of the transactions after an offset, by reading them.
func readAppended(t failer, s *Storage, after int64) (all []Appended) {
	t.Helper()
	it, err := s.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	for {
		txn, err := it.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		one := Appended{Tid: txn.Meta().Tid, Status: txn.Meta().Status, End: it.Position()}
		if one.Status == zodb.StatusCommitted {
			if one.Digest, err = zodb.DigestOf(txn); err != nil {
				t.Fatal(err)
			}
		}
		if one.End > after {
			all = append(all, one)
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// toldOf collects what an Appender to s says, which must be in the order of the file, and about what is visible.
func toldOf(t failer, s *Storage, told *[]Appended) AppendOptions {
	last, pos := s.LastTid(), s.Size()
	return AppendOptions{Durable: func(after zodb.Tid, start int64, txns []Appended) {
		end := txns[len(txns)-1]
		if after != last || start != pos || s.Size() < end.End {
			t.Errorf("told of transactions at %d after %v, up to %d, want those at %d after %v; %d bytes are visible",
				start, after, end.End, pos, last, s.Size())
		}
		*told = append(*told, txns...)
		last, pos = end.Tid, end.End
	}}
}

// What passes has the digests that reading it has, however it is divided, whatever its transactions are.
func TestAnAppendTellsTheDigestsOfWhatPasses(t *testing.T) {
	d, half := allKinds()
	d.add(110, zodb.StatusCommitted, written{oid: 7, data: make([]byte, 3*digestBuffer)})
	at := d.add(120, zodb.StatusCommitted, written{oid: 7, data: make([]byte, 10)})
	d.add(130, zodb.StatusCommitted, written{oid: 7, back: at[0]}) // perhaps of the same piece
	rapid.Check(t, func(t *rapid.T) {
		s := inMemory(t, d.bytes[:half])
		var told []Appended
		a, err := s.Append(t.Context(), toldOf(t, s, &told))
		if err != nil {
			t.Fatal(err)
		}
		a.most = groupSize{
			int64(rapid.IntRange(1, 9000).Draw(t, "weight")), rapid.IntRange(1, 9).Draw(t, "txns"), 1, togetherFrom,
		}
		cut := rapid.IntRange(half, len(d.bytes)).Draw(t, "cut")
		var before []byte
		for rest := d.bytes[half:cut]; len(rest) > 0; {
			n := min(rapid.IntRange(1, 3000).Draw(t, "n"), len(rest))
			p := slices.Clone(rest[:n])
			if err := a.Write(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			clear(before) // as it may be used again
			before, rest = p, rest[n:]
		}
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(readAppended(t, s, int64(half)), told); diff != "" {
			t.Fatalf("(-read +told):\n%s", diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Nobody is told of a group that is not durable, nor of what came after it.
func TestNobodyIsToldOfAGroupThatIsNotIdentical(t *testing.T) {
	d, half := allKinds()
	ends := append(d.at[1:len(d.at):len(d.at)], int64(len(d.bytes)))
	for i, end := range ends {
		if end <= int64(half) {
			continue
		}
		bad := append([]byte(nil), d.bytes...)
		bad[end-1] ^= 1 // of the second length
		s := inMemory(t, d.bytes[:half])
		var told []Appended
		a := mustAppend(t, s, toldOf(t, s, &told))
		a.most = groupSize{1, 1, 1, togetherFrom}
		err := a.Write(t.Context(), bad[half:])
		var other *NotIdenticalError
		if err := errors.Join(err, a.Close(t.Context())); !errors.As(err, &other) {
			t.Fatalf("transaction %d: %v", i, err)
		}
		if diff := cmp.Diff(readAppended(t, s, int64(half)), told); diff != "" {
			t.Errorf("transaction %d (-read +told):\n%s", i, diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
