package filestorage

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// An undoAnswer is an entry of the real ZODB's undoLog.
type undoAnswer struct {
	ID          string
	Size        int64
	User        fixtureBytes `json:"user_name"`
	Description fixtureBytes
}

// A fixtureBytes is text as a fixture has it: in hex, or when it is long its digest.
type fixtureBytes struct {
	Bytes string
	Sum   string `json:"sha256"`
}

// Every fixture lists what the real ZODB's undoLog does. An extension may replace any entry of it.
func TestUndoLogOfFixtures(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, _ *expectation) {
		t.Helper()
		var want struct {
			API *struct {
				UndoLog []undoAnswer `json:"undoLog_0_30"`
			}
		}
		readJSON(t, filepath.Join(dir, "expected.json"), &want)
		if want.API == nil || want.API.UndoLog == nil {
			t.Skip("ZODB was not asked")
		}
		s := openFixture(t, filepath.Base(dir), Options{ReadOnly: true})
		got, err := s.UndoLog(t.Context(), 0, 30, nil)
		attached, err2 := Attach(t.Context(), s.Path(), AttachOptions{})
		if err2 != nil {
			t.Fatal(err2)
		}
		beside, err2 := attached.UndoLog(t.Context(), 0, 30, nil)
		if diff := cmp.Diff(got, beside); diff != "" || err2 != nil {
			t.Errorf("attached: %v %s", err2, diff)
		}
		if err := attached.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || len(got) != len(want.API.UndoLog) {
			t.Fatalf("%d entries, %v; want %d", len(got), err, len(want.API.UndoLog))
		}
		for i, w := range want.API.UndoLog {
			g := got[i]
			if g.ID() != w.ID || g.Size != w.Size {
				t.Errorf("entry %d is %s of %d bytes, want %s of %d", i, g.ID(), g.Size, w.ID, w.Size)
			}
			if len(g.Extension) > 0 {
				continue
			}
			if !w.User.is(g.User) || !w.Description.is(g.Description) {
				t.Errorf("entry %d is by %.40q: %.40q; want %v: %v", i, g.User, g.Description, w.User, w.Description)
			}
			tid, err := ParseUndoID(w.ID)
			if err != nil || tid != g.Tid {
				t.Errorf("%s is %v, %v", w.ID, tid, err)
			}
		}
	})
}

func (b fixtureBytes) is(got []byte) bool {
	return hex.EncodeToString(got) == b.Bytes || b.Sum != "" && digest(got) == b.Sum
}

// Pages are numbered among what the filter accepts; a negative last is a number of entries; the list ends at what a
// pack wrote and leaves out undone transactions.
func TestPagesOfTheUndoLog(t *testing.T) {
	d := newDataFile()
	for i, status := range []zodb.Status{' ', 'p', ' ', ' ', 'u', ' ', ' '} {
		d.add(zodb.Tid(10*(i+1)), status, written{oid: 1, data: []byte("x")})
	}
	s := d.storage(t)
	not60 := func(e *UndoEntry) bool { return e.Tid != 60 }
	for name, c := range map[string]struct {
		first, last int
		filter      func(*UndoEntry) bool
		want        []zodb.Tid
	}{
		"all":                     {0, 30, nil, []zodb.Tid{70, 60, 40, 30}},
		"first two":               {0, 2, nil, []zodb.Tid{70, 60}},
		"from the second":         {1, 3, nil, []zodb.Tid{60, 40}},
		"a number of them":        {1, -2, nil, []zodb.Tid{60, 40}},
		"none":                    {2, 2, nil, nil},
		"nothing so far back":     {9, -9, nil, nil},
		"filtered":                {0, 30, not60, []zodb.Tid{70, 40, 30}},
		"filtered, second":        {1, 2, not60, []zodb.Tid{40}},
		"filtered, from the last": {2, -5, not60, []zodb.Tid{30}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := s.UndoLog(t.Context(), c.first, c.last, c.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []zodb.Tid
			for _, e := range list {
				got = append(got, e.Tid)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestUndoIDsThatAreNone(t *testing.T) {
	for _, id := range []string{"", "A", "A/hlgDAAAAA", "A/hlgDAAAAA=\n=", "A/hlgDAAAAAA", "A-hlgDAAAAA="} {
		var undo *zodb.UndoError
		if tid, err := ParseUndoID(id); !errors.As(err, &undo) {
			t.Errorf("%q is %v, %v", id, tid, err)
		}
	}
}
