package zodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIdsPrintAsSixteenDigitsAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		if s := Tid(n).String(); len(s) != 16 || s != Oid(n).String() {
			t.Fatalf("%d prints as %q", n, s)
		}
		for _, s := range []string{Tid(n).String(), "0x" + Tid(n).String()} {
			tid, err1 := ParseTid(s)
			oid, err2 := ParseOid(s)
			if errors.Join(err1, err2) != nil || tid != Tid(n) || oid != Oid(n) {
				t.Fatalf("%q reads as %v, %v, %v", s, tid, oid, errors.Join(err1, err2))
			}
		}
		var back struct {
			T Tid
			O Oid
		}
		b, err := json.Marshal(struct {
			T Tid
			O Oid
		}{Tid(n), Oid(n)})
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || back.T != Tid(n) || back.O != Oid(n) {
			t.Fatalf("JSON gives %v, %v", back, err)
		}
	})
	for _, s := range []string{"", "0x", "g", "12345678901234567", "-1", "+1", " 1"} {
		if tid, err := ParseTid(s); err == nil {
			t.Errorf("%q reads as %v", s, tid)
		}
	}
}

func TestATidKeepsItsTimeToTheTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Int64Range(-2208988800, 1<<36).Draw(t, "seconds")
		nanos := rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")
		when := time.Unix(seconds, nanos).UTC()
		tid, err := TidFromTime(when)
		if err != nil {
			t.Fatal(err)
		}
		if d := when.Sub(tid.Time()); d < -time.Nanosecond || d > 15*time.Nanosecond {
			t.Fatalf("%v comes back %v later", when, d)
		}
	})
}

func TestLaterThanIsAlwaysLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := Tid(rapid.Uint64Range(0, uint64(MaxTid)).Draw(t, "now"))
		last := Tid(rapid.Uint64Range(0, 0x6fffffffffffffff).Draw(t, "last"))
		if rapid.Bool().Draw(t, "at the end of a minute") {
			last |= 0xffffffff
		}
		if got := LaterThan(now, last); got <= last || got < now {
			t.Fatalf("later than %v at %v is %v", last, now, got)
		}
	})
}

// memory is a transaction in memory.
type memory struct {
	meta    TxnMeta
	records []memoryRecord
	next    int
}

type memoryRecord struct {
	rec  Record
	data []byte
}

func (m *memory) Meta() *TxnMeta { return &m.meta }

func (m *memory) NextRecord() (*Record, error) {
	if m.next == len(m.records) {
		return nil, io.EOF
	}
	r := m.records[m.next]
	m.next++
	r.rec.Size, r.rec.Data = NoData, nil
	if r.data != nil {
		r.rec.Size, r.rec.Data = int64(len(r.data)), bytes.NewReader(r.data)
	}
	return &r.rec, nil
}

func sample() *memory {
	return &memory{
		meta: TxnMeta{
			Tid: 5, Status: StatusCommitted, User: []byte("u"), Description: []byte("d"), Extension: []byte("e"),
		},
		records: []memoryRecord{
			{Record{Oid: 1, Tid: 5}, []byte("one")},
			{Record{Oid: 2, Tid: 5}, nil},
		},
	}
}

func digest(t *testing.T, m *memory) Digest {
	t.Helper()
	d, err := DigestOf(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDigestCoversContentAndNothingElse(t *testing.T) {
	want := digest(t, sample())
	for name, change := range map[string]func(*memory){
		"status":       func(m *memory) { m.meta.Status = StatusPacked },
		"back pointer": func(m *memory) { m.records[0].rec.DataTxn = 3 },
		"predecessor":  func(m *memory) { m.records[0].rec.HasPrev = true },
		"blob":         func(m *memory) { m.records[0].rec.Blob = bytes.NewReader([]byte("b")) },
	} {
		m := sample()
		change(m)
		if digest(t, m) != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	seen := []Digest{want}
	for name, change := range map[string]func(*memory){
		"tid":             func(m *memory) { m.meta.Tid++ },
		"user":            func(m *memory) { m.meta.User = []byte("v") },
		"user moved":      func(m *memory) { m.meta.User, m.meta.Description = nil, []byte("ud") },
		"extension":       func(m *memory) { m.meta.Extension = nil },
		"oid":             func(m *memory) { m.records[0].rec.Oid++ },
		"serial":          func(m *memory) { m.records[0].rec.Tid++ },
		"data":            func(m *memory) { m.records[0].data = []byte("two") },
		"data removed":    func(m *memory) { m.records[0].data = nil },
		"order":           func(m *memory) { slices.Reverse(m.records) },
		"record missing":  func(m *memory) { m.records = m.records[:1] },
		"record repeated": func(m *memory) { m.records = append(m.records, m.records[1]) },
	} {
		m := sample()
		change(m)
		d := digest(t, m)
		if slices.Contains(seen, d) {
			t.Errorf("%s does not change the digest", name)
		}
		seen = append(seen, d)
	}
}

func TestADigestOfDataThatEndEarlyFails(t *testing.T) {
	m := sample()
	short := &short{m}
	if _, err := DigestOf(short); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// short promises more data than there are.
type short struct{ *memory }

func (s *short) NextRecord() (*Record, error) {
	rec, err := s.memory.NextRecord()
	if err == nil {
		rec.Size += 10
	}
	return rec, err
}

func TestErrorsNameWhatTheyAreAbout(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&POSKeyError{Oid: 1}, "no object with oid 0000000000000001"},
		{&POSKeyError{Oid: 1, Tid: 2}, "no revision 0000000000000002 of oid 0000000000000001"},
		{&POSKeyError{Oid: 1, Tid: 2, Blob: true}, "no blob file for oid 0000000000000001 tid 0000000000000002"},
		{&ConflictError{Oid: 1, Current: 3, Seen: 2},
			"write conflict on oid 0000000000000001: current serial is 0000000000000003, caller saw 0000000000000002"},
		{&TooLongError{Field: "user", Len: 65536}, "transaction user has 65536 bytes, at most 65535 are possible"},
		{&CorruptError{File: "Data.fs", Pos: 4, Want: "a", Got: "b"}, "Data.fs: damaged at offset 4: want a, got b"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
