package inside

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/zodb"
)

// What has become of each object of the site, in a row of moments. The real ZODB is asked in package integration.
func TestDiffOfASite(t *testing.T) {
	var got []any
	var from zodb.Tid
	for txn, err := range openSite(t, siteFile).Transactions(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		to := txn.Meta().Tid
		got = append(got, diffOf(t, DiffOptions{From: from, To: to})...)
		from = to
	}
	compareGolden(t, "diff.jsonl", got)
}

// Classes choose objects that have one of them at one of the moments, oids choose themselves.
func TestDiffOfChosenObjects(t *testing.T) {
	pages := DiffOptions{To: zodb.MaxTid, Classes: record.ClassPatterns{"new.*"}}
	if n := len(diffOf(t, pages)); n != 3 {
		t.Errorf("%d lines for 2 pages", n)
	}
	chosen := DiffOptions{To: zodb.MaxTid, Oids: []zodb.Oid{7, 0x999, 7, 1}}
	if n := len(diffOf(t, chosen)); n != 3 {
		t.Errorf("%d lines for 2 objects", n)
	}
}

func diffOf(t *testing.T, opt DiffOptions) (all []any) {
	t.Helper()
	opt.States = true
	sum, err := Diff(t.Context(), siteFile, opt, func(c *ObjectChange) error {
		all = append(all, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(all, sum)
}

// compareGolden compares lines of JSON with those of a file.
func compareGolden(t *testing.T, name string, got []any) {
	t.Helper()
	var text []byte
	for _, v := range got {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s: -want +got (run with -update and read the difference):\n%s", name, diff)
	}
}

// A difference is named by where it is; what is alike is not listed.
func TestDifferencesAreNamedByWhereTheyAre(t *testing.T) {
	decode := func(state string) *record.Node {
		d, err := record.Decode([]byte("cm\nC\n."+state), record.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	for name, c := range map[string]struct {
		from, to string
		want     []string
	}{
		"alike":        {"(dS'a'\nI1\ns.", "(dS'a'\nI1\ns.", nil},
		"added":        {"(d.", "(dS'a'\nI1\ns.", []string{"a: – 1"}},
		"removed":      {"(dS'a'\nI1\ns.", "(d.", []string{"a: 1 –"}},
		"inside":       {"(dS'a'\n(dS'b'\nI1\nss.", "(dS'a'\n(dS'b'\nI2\nss.", []string{"a.b: 1 2"}},
		"another kind": {"(dS'a'\nI1\ns.", "(dS'a'\nS'1'\ns.", []string{`a: 1 "1"`}},
		"other keys":   {"(dI1\nI1\ns.", "(dI1\nI2\ns.", []string{"1: 1 2"}},
		"no dict":      {"I1\n.", "I2\n.", []string{": 1 2"}},
		"an object": {
			"(dS'a'\n(im\nD\n(dS'x'\nI1\nsbs.", "(dS'a'\n(im\nD\n(dS'x'\nI2\nsbs.", []string{"a.x: 1 2"},
		},
		"an object of another class": {
			"(dS'a'\n(im\nD\n(dbs.", "(dS'a'\n(im\nE\n(dbs.",
			[]string{`a: {"@object":"m.D","state":{}} {"@object":"m.E","state":{}}`},
		},
	} {
		var got []string
		for _, d := range Differences(decode(c.from), decode(c.to)) {
			before, after := d.Values()
			got = append(got, d.Name+": "+before+" "+after)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}
