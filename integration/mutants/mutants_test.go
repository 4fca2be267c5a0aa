package main

import (
	"slices"
	"strings"
	"testing"
)

// What no test of a package notices is found, what one notices is not, and what does not compile is left out.
func TestChangesThatNobodyNotices(t *testing.T) {
	j := &job{pkg: "testdata/sample", workers: 1}
	mutants, err := j.do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[state][]string)
	for _, m := range mutants {
		got[m.state] = append(got[m.state], strings.TrimPrefix(m.String(), "`sample.go` "))
	}
	for state, want := range map[state][]string{
		survived: {
			"Clamp: `Calls++` left out",
			"Clamp: `n > 10` with `>=`",
			"Clamp: `n < 0 && !negative` without `!negative`",
			"Clamp: `n < 0` with `<=`",
		},
		killed: {
			"Clamp: `n > 10` negated",
			"Clamp: `n < 0 && !negative` negated",
			"Clamp: `n < 0 && !negative` without `n < 0`",
		},
		unreached: {"Unused: `n + 1` with `-`"},
		hung:      nil,
	} {
		slices.Sort(want)
		slices.Sort(got[state])
		if !slices.Equal(got[state], want) {
			t.Errorf("state %d: got %q, want %q", state, got[state], want)
		}
	}
	var out strings.Builder
	known := "- `sample.go` Clamp: `Calls++` left out: nobody reads it"
	if n := report(&out, j.pkg, mutants, known); n != 3 || strings.Contains(out.String(), "Calls") ||
		!strings.Contains(out.String(), "SURVIVED: `sample.go` Clamp: `n > 10` with `>=`\n") ||
		!strings.HasSuffix(out.String(), "| testdata/sample | 8 | 3 | 0 | 1 | 1 | 3 |\n") {
		t.Errorf("%d are not explained:\n%s", n, out.String())
	}
}
