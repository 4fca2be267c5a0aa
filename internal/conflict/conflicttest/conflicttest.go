// Package conflicttest compares a resolution of conflicts with ZODB's own.
package conflicttest

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/internal/pickle"
)

// A conflict is a line of what integration/python/conflicts.py prints; records are in hexadecimal.
type conflict struct {
	Plain                bool // no class is needed to compare what is in it
	Old, Committed, Sent string
	Merged               *string // nil: ZODB does not merge it
}

// Check resolves the conflicts of r. What is merged has to be what ZODB merged, and of plain conflicts all have to be
// that ZODB merged.
func Check(t *testing.T, r io.Reader, resolve func(old, committed, sent []byte) ([]byte, error)) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	merged, refused := 0, 0
	for lines.Scan() {
		var c conflict
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		got, err := resolve(unhex(t, c.Old), unhex(t, c.Committed), unhex(t, c.Sent))
		switch {
		case err == nil && c.Merged == nil:
			t.Errorf("merged to %q what ZODB does not merge:\n%s", got, lines.Text())
		case err == nil:
			merged++
			sameRecord(t, got, unhex(t, *c.Merged), lines.Text())
		case c.Merged != nil && c.Plain:
			t.Errorf("not merged, while ZODB does: %v\n%s", err, lines.Text())
		default:
			refused++
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d merged, %d refused", merged, refused)
	if merged == 0 || refused == 0 {
		t.Errorf("%d merged, %d refused: the conflicts prove nothing", merged, refused)
	}
}

// values compares large integers, and NaN as being itself.
var values = cmp.Options{cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 }), cmpopts.EquateNaNs()}

// sameRecord compares what is in two records: their bytes may differ in what Python happens to have only one of.
func sameRecord(t *testing.T, got, want []byte, line string) {
	t.Helper()
	class, state := load(t, got)
	wantClass, wantState := load(t, want)
	if d := cmp.Diff([]pickle.Value{wantClass, wantState}, []pickle.Value{class, state}, values); d != "" {
		t.Errorf("not what ZODB merges it to (-want, +got):\n%s\n%s", d, line)
	}
}

func load(t *testing.T, record []byte) (class, state pickle.Value) {
	t.Helper()
	class, state, err := pickle.LoadRecord(record, pickle.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return class, state
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
