// Command mutants changes the code of a package in small ways, one at a time, and tells which changes no test notices.
//
// All changes are built into one test binary, each after a number, so that a change costs a run of the tests and no
// build. Survivors that docs/mutants.md lists are known, with the reason; another one ends the command with status 1.
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A job is what the command line asks for.
type job struct {
	pkg, files, run, skip, slow, known string
	workers                            int
}

func main() {
	var j job
	flag.StringVar(&j.pkg, "pkg", "", "folder of the package")
	flag.StringVar(&j.files, "files", "", "its files to change, with commas between them; empty: all")
	flag.StringVar(&j.run, "run", "", "tests to run; empty: all")
	flag.StringVar(&j.skip, "skip", "", "tests to leave out")
	flag.StringVar(&j.slow, "slow", "", "tests to run only where the others notice nothing")
	flag.StringVar(&j.known, "known", "docs/mutants.md", "where survivors are explained")
	flag.IntVar(&j.workers, "workers", max(1, runtime.NumCPU()/2), "changes that are tried at the same time")
	flag.Parse()
	known, err := os.ReadFile(j.known)
	if err == nil {
		var mutants []*mutant
		mutants, err = j.do(context.Background())
		if err == nil && report(os.Stdout, j.pkg, mutants, string(known)) > 0 {
			os.Exit(1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
}

// do tries all changes. The tests have to pass without one.
func (j *job) do(ctx context.Context) ([]*mutant, error) {
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
	trace := filepath.Join(dir, "reached")
	begun := time.Now()
	if out, err := j.tests(ctx, binary, "MUTANTS_TRACE="+trace); err != nil {
		return nil, fmt.Errorf("the tests of %s fail without any change: %w\n%s", j.pkg, err, out)
	}
	limit := 5*time.Second + 3*time.Since(begun)
	reached, err := numbers(trace)
	if err != nil {
		return nil, err
	}
	j.tryAll(ctx, binary, limit, slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool {
		return !reached[m.number]
	}))
	return mutants, nil
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

// tests runs the tests with one variable in the environment, the slow ones last.
func (j *job) tests(ctx context.Context, binary, variable string) ([]byte, error) {
	if j.slow == "" {
		return j.test(ctx, binary, variable, j.run, j.skip)
	}
	out, err := j.test(ctx, binary, variable, j.run, j.slow+"|"+cmp.Or(j.skip, "^$"))
	if err == nil {
		out, err = j.test(ctx, binary, variable, j.slow, j.skip)
	}
	return out, err
}

func (j *job) test(ctx context.Context, binary, variable, run, skip string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.failfast", "-test.short", "-test.run", run, "-test.skip", skip)
	cmd.Dir, cmd.Env = j.pkg, append(os.Environ(), variable)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	err := cmd.Run()
	return out.Bytes(), err
}

// tryAll runs the tests once for each change. What takes much longer than without it has been noticed, too.
func (j *job) tryAll(ctx context.Context, binary string, limit time.Duration, mutants []*mutant) {
	next := make(chan *mutant)
	var all sync.WaitGroup
	for range j.workers {
		all.Go(func() {
			for m := range next {
				within, cancel := context.WithTimeout(ctx, limit)
				_, err := j.tests(within, binary, "MUTANTS_ON="+strconv.Itoa(m.number))
				m.state = survived
				if err != nil {
					m.state = killed
				}
				if within.Err() != nil {
					m.state = hung
				}
				cancel()
			}
		})
	}
	for _, m := range mutants {
		next <- m
	}
	close(next)
	all.Wait()
}

// numbers reads which changes a run has come by.
func numbers(trace string) (map[int]bool, error) {
	text, err := os.ReadFile(trace)
	if err != nil {
		return nil, err
	}
	reached := make(map[int]bool)
	for _, field := range strings.Fields(string(text)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		reached[n] = true
	}
	return reached, nil
}

// report prints a line of figures, and the changes that were not noticed.
func report(w io.Writer, pkg string, mutants []*mutant, known string) (unexplained int) {
	var count [4]int
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
	_, _ = fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d |\n", pkg, len(mutants), count[killed], count[hung],
		count[unreached], explained, unexplained)
	return unexplained
}
