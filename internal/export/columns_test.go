package export

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/record"
)

func cells(name string, values ...cell) (rows []row) {
	for _, c := range values {
		rows = append(rows, row{{name, c}})
	}
	return rows
}

func integers(list ...int64) (c []cell) {
	for _, n := range list {
		c = append(c, cell{Integer, n})
	}
	return c
}

// The type of a column is that of its values: integers go into floats as long as these have them, other mixtures into
// JSON.
func TestTheTypeOfAColumnIsThatOfItsValues(t *testing.T) {
	none, half, text := cell{}, cell{Double, 0.5}, cell{Text, "x"}
	for name, c := range map[string]struct {
		values []cell
		typ    Type
		want   []any
	}{
		"none":        {[]cell{none}, Text, []any{nil}},
		"integers":    {append(integers(1), none), Integer, []any{int64(1), nil}},
		"with floats": {append(integers(1), half), Double, []any{1.0, 0.5}},
		"with text":   {append(integers(1), text), JSON, []any{json.RawMessage("1"), json.RawMessage(`"x"`)}},
		"bool is no int": {
			append(integers(1), cell{Boolean, true}), JSON, []any{json.RawMessage("1"), json.RawMessage("true")},
		},
		"large and float": {
			append(integers(1<<60), half), JSON,
			[]any{json.RawMessage("1152921504606846976"), json.RawMessage("0.5")},
		},
		"text and bytes": {
			[]cell{text, {Bytes, []byte{1, 255}}}, JSON,
			[]any{json.RawMessage(`"x"`), json.RawMessage(`{"@bytes":"01ff"}`)},
		},
	} {
		s := newSchema(nil)
		for _, r := range cells("a", c.values...) {
			s.look(r)
		}
		if got := s.columns()[0].Type; got != c.typ {
			t.Errorf("%s: %s", name, got)
		}
		var got []any
		for _, r := range cells("a", c.values...) {
			got = append(got, s.values(nil, r)[0])
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

// Hostile names are bounded, printable, and different from each other in every case.
func TestNamesAreBoundedAndUnique(t *testing.T) {
	s := newSchema([]Column{{"oid", Text}})
	for _, name := range []string{
		"title", "Title", "oid", "", "\x00", "a\nb", "a\x00b", `a"b`, "\xff", strings.Repeat("ü", 300),
		strings.Repeat("ü", 301),
	} {
		s.look(row{{name, cell{Text, "x"}}})
	}
	seen := make(map[string]bool)
	for _, c := range s.columns() {
		if seen[strings.ToLower(c.Name)] || len(c.Name) > maxName+4 || c.Name == "" ||
			strings.ContainsAny(c.Name, "\x00\n") {
			t.Errorf("%q", c.Name)
		}
		seen[strings.ToLower(c.Name)] = true
	}
	for class, want := range map[string]string{
		"a.B": "a.B", "../../etc": "_._.._etc", "sqlite_x": "_sqlite_x", "zrsd_export": "_zrsd_export",
		"a b/c": "a_b_c", "?": "_", ".hidden": "_hidden",
	} {
		if got := fileName(class); got != want {
			t.Errorf("%q is %q, want %q", class, got, want)
		}
	}
}

// A table has a bound of columns; what has none is in one of JSON, and nothing is lost.
func TestAttributesAboveTheBoundAreTogether(t *testing.T) {
	s := newSchema(nil)
	var r row
	for i := range maxColumns + 10 {
		r = append(r, attribute{fmt.Sprintf("a%d", i), cell{Integer, int64(i)}})
	}
	s.look(r)
	columns, values := s.columns(), s.values(nil, r)
	if len(columns) != maxColumns+1 || len(values) != len(columns) || columns[maxColumns].Name != moreColumn {
		t.Fatalf("%d columns, %d values", len(columns), len(values))
	}
	var more map[string]int
	if err := json.Unmarshal(values[maxColumns].(json.RawMessage), &more); err != nil || len(more) != 10 ||
		more[fmt.Sprintf("a%d", maxColumns)] != maxColumns {
		t.Errorf("%v, %v", more, err)
	}
}

// Dates and times are timestamps in UTC, with the offset or the name of their zone; what has no date is text.
func TestMomentsAreTimestamps(t *testing.T) {
	at := time.Date(2024, 7, 6, 8, 0, 0, 500000000, time.UTC)
	for _, c := range []struct {
		class, text string
		want        cell
	}{
		{"datetime", "2024-07-06T08:00:00.500000", cell{Timestamp, at}},
		{"datetime", "2024-07-06T10:00:00.500000+02:00", cell{Timestamp, at}},
		{"datetime", "2024-07-06T10:00:00.500000 Europe/Vienna", cell{Timestamp, at}},
		{"datetime", "2024-07-06T10:00:00.500000 Nowhere/Else", cell{Text, "2024-07-06T10:00:00.500000 Nowhere/Else"}},
		{"DateTime", "2024-07-06T08:00:00.5+00:00 GMT+2", cell{Timestamp, at}},
		{"date", "2024-07-06", cell{Timestamp, time.Date(2024, 7, 6, 0, 0, 0, 0, time.UTC)}},
		{"time", "08:00:00", cell{Text, "08:00:00"}},
		{"timedelta", "+1 days 00:00:00", cell{Text, "+1 days 00:00:00"}},
	} {
		if got := moment(&record.Node{Kind: record.Moment, Class: c.class, Text: c.text}); got != c.want {
			t.Errorf("%s %q: %v", c.class, c.text, got)
		}
	}
}

// States in every form have rows.
func TestStatesAreFlattened(t *testing.T) {
	for name, c := range map[string]struct {
		class, state string
		want         []string
	}{
		"attributes":         {"m\nC", "(dS'a'\nI1\nsS'b'\nNs.", []string{"a integer 1, b  <nil>"}},
		"no state":           {"m\nC", "N.", []string{""}},
		"another state":      {"m\nC", "(I1\nI2\nt.", []string{`state json {"@tuple":[1,2]}`}},
		"other keys":         {"m\nC", "(dI1\nI2\ns.", []string{`state json {"@dict":[[1,2]]}`}},
		"a list":             {"m\nC", "(dS'a'\n(lI1\nas.", []string{"a json [1]"}},
		"an object":          {"m\nC", "(dS'a'\n(im\nD\n(dS'x'\nI1\nsbs.", []string{"a.class text m.D, a.x integer 1"}},
		"an object, no dict": {"m\nC", "(dS'a'\n(im\nD\nI1\nbs.", []string{`a json {"@object":"m.D","state":1}`}},
		"a reference": {
			"m\nC", "(dS'a'\n(U\x08\x00\x00\x00\x00\x00\x00\x00\x07cm\nD\ntQs.",
			[]string{"a.oid text 0000000000000007, a.class text m.D"},
		},
		"a bucket": {
			"BTrees.OOBTree\nOOBucket", "((S'k'\nI1\nS'l'\nI2\ntt.",
			[]string{"key text k, value integer 1", "key text l, value integer 2"},
		},
		"a set": {"BTrees.IIBTree\nIITreeSet", "((((I1\nI2\ntttt.", []string{"key integer 1", "key integer 2"}},
		"a mapping": {
			"persistent.mapping\nPersistentMapping", "(dS'data'\n(dS'k'\nI1\nss.",
			[]string{"key text k, value integer 1"},
		},
		"a mapping with more": {
			"persistent.mapping\nPersistentMapping", "(dS'data'\n(dS'k'\nI1\nssS'x'\nI1\ns.",
			[]string{`data json {"k":1}, x integer 1`},
		},
		"a persistent list": {
			"persistent.list\nPersistentList", "(dS'data'\n(lI5\nas.", []string{"key integer 0, value integer 5"},
		},
	} {
		d, err := record.Decode([]byte("c"+c.class+"\n."+c.state), record.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, r := range rowsOf(d) {
			var parts []string
			for _, a := range r {
				value := fmt.Sprint(a.value)
				if raw, ok := a.value.(json.RawMessage); ok {
					value = string(raw)
				}
				parts = append(parts, fmt.Sprintf("%s %s %s", a.name, a.typ, value))
			}
			got = append(got, strings.Join(parts, ", "))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}
