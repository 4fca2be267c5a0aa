// Command mutants changes the code of a package in small ways, one at a time, and tells which changes no test notices.
//
// All changes are built into one test binary, each after a number, so that a change costs a run of some tests and no
// build: those that come by it, the quick ones first. Survivors that docs/mutants.md lists are known, with the reason;
// another one ends the command with status 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A job is what the command line asks for.
type job struct {
	pkg, files, run, skip, only, log, known string
	longest                                 time.Duration
	workers                                 int
}

func main() {
	var j job
	flag.StringVar(&j.pkg, "pkg", "", "folder of the package")
	flag.StringVar(&j.files, "files", "", "its files to change, with commas between them; empty: all")
	flag.StringVar(&j.run, "run", "", "tests to run; empty: all")
	flag.StringVar(&j.skip, "skip", "", "tests to leave out")
	flag.DurationVar(&j.longest, "longest", time.Minute, "leave out tests that take longer without a change")
	flag.StringVar(&j.only, "only", "", "numbers of changes to try, with commas between them; empty: all")
	flag.StringVar(&j.log, "log", "", "file to write each outcome to; what is in it already is not tried again")
	flag.StringVar(&j.known, "known", "docs/mutants.md", "where survivors are explained")
	flag.IntVar(&j.workers, "workers", max(1, runtime.NumCPU()/2), "changes that are tried at the same time")
	flag.Parse()
	known, err := os.ReadFile(j.known)
	if err == nil {
		var mutants []*mutant
		mutants, err = j.do(context.Background(), os.Stderr)
		if err == nil && report(os.Stdout, j.pkg, mutants, string(known)) > 0 {
			os.Exit(1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
}

// do tries all changes, and tells w of each. The tests have to pass without one.
func (j *job) do(ctx context.Context, w io.Writer) ([]*mutant, error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files, err := j.sources()
	if err != nil {
		return nil, err
	}
	binary, mutants, err := build(ctx, dir, j.pkg, files)
	if err != nil {
		return nil, err
	}
	if mutants, err = chosen(mutants, j.only); err != nil {
		return nil, err
	}
	log, err := openOutcomes(j.log, mutants)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // a failed write has been told
	s := &suite{binary: binary, dir: j.pkg}
	if err := s.measure(ctx, j, filepath.Join(dir, "reached")); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(w, "%d changes, %d tests\n", len(mutants), len(s.tests))
	return mutants, s.tryAll(ctx, j.workers, mutants, io.MultiWriter(w, log))
}

func (j *job) sources() ([]string, error) {
	if j.files != "" {
		return strings.Split(j.files, ","), nil
	}
	all, err := filepath.Glob(filepath.Join(j.pkg, "*.go"))
	var files []string
	for _, path := range all {
		if !strings.HasSuffix(path, "_test.go") {
			files = append(files, filepath.Base(path))
		}
	}
	return files, err
}

// report prints a line of figures, and the changes that were not noticed.
func report(w io.Writer, pkg string, mutants []*mutant, known string) (unexplained int) {
	var count [5]int
	explained := 0
	for _, m := range mutants {
		count[m.state]++
		if m.state != survived && m.state != unreached {
			continue
		}
		line := m.String()
		if m.state == unreached {
			_, _ = fmt.Fprintln(w, "not reached:", line)
			continue
		}
		if strings.Contains(known, line) {
			explained++
			continue
		}
		unexplained++
		_, _ = fmt.Fprintln(w, "SURVIVED:", line)
	}
	_, _ = fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d |\n", pkg, len(mutants), count[killed]+count[hung],
		count[hung], count[unreached], explained, unexplained)
	return unexplained
}
