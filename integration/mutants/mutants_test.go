package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What no test of a package notices is found, what one notices is not, and what does not compile is left out.
func TestChangesThatNobodyNotices(t *testing.T) {
	j := &job{pkg: "testdata/sample", longest: time.Minute, workers: 1, log: filepath.Join(t.TempDir(), "log")}
	mutants, err := j.do(t.Context(), io.Discard)
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
	if n := log(t, j); n != 8 {
		t.Errorf("%d outcomes are in the log", n)
	}
	// What is in the log is not tried again, and neither is what was not asked for.
	again, err := j.do(t.Context(), io.Discard)
	if err != nil || len(again) != 8 || again[0].state != mutants[0].state || log(t, j) != 8 {
		t.Errorf("again: %v %v, %d in the log", again, err, log(t, j))
	}
	j.only, j.log = "2,3", ""
	some, err := j.do(t.Context(), io.Discard)
	if err != nil || len(some) != 2 || some[1].number != 3 || some[1].state != mutants[2].state {
		t.Errorf("only two: %v %v", some, err)
	}
}

func log(t *testing.T, j *job) (outcomes int) {
	t.Helper()
	text, err := os.ReadFile(j.log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}
