package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A suite are the tests of a package, the quick ones first.
type suite struct {
	binary, dir string
	tests       []*check
}

// A check is one test.
type check struct {
	name    string
	takes   time.Duration
	reaches map[int]bool // the numbers of the changes that it comes by
}

// measure runs each test once without a change.
func (s *suite) measure(ctx context.Context, j *job, trace string) error {
	run, err := regexp.Compile(j.run)
	if err != nil {
		return err
	}
	skip, err := regexp.Compile(cmp.Or(j.skip, "^$"))
	if err != nil {
		return err
	}
	list, err := s.command(ctx, nil, "-test.list", ".")
	if err != nil {
		return fmt.Errorf("listing the tests: %w\n%s", err, list)
	}
	for name := range strings.FieldsSeq(string(list)) {
		if !run.MatchString(name) || skip.MatchString(name) || strings.HasPrefix(name, "Benchmark") {
			continue
		}
		if err := s.measureOne(ctx, j, name, trace); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.tests, func(a, b *check) int { return cmp.Compare(a.takes, b.takes) })
	return nil
}

func (s *suite) measureOne(ctx context.Context, j *job, name, trace string) error {
	begun := time.Now()
	if out, err := s.run(ctx, []string{name}, "MUTANTS_TRACE="+trace); err != nil {
		return fmt.Errorf("%s of %s fails without any change: %w\n%s", name, j.pkg, err, out)
	}
	c := &check{name: name, takes: time.Since(begun)}
	var err error
	c.reaches, err = numbers(trace)
	if err == nil && c.takes <= j.longest && len(c.reaches) > 0 {
		s.tests = append(s.tests, c)
	}
	return err
}

// run runs some tests with one variable in the environment.
func (s *suite) run(ctx context.Context, names []string, variable string) ([]byte, error) {
	return s.command(ctx, []string{variable}, "-test.failfast", "-test.short", "-test.run",
		"^("+strings.Join(names, "|")+")$")
}

func (s *suite) command(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	err := cmd.Run()
	return out.Bytes(), err
}

// numbers reads which changes a run has come by, and removes the file.
func numbers(trace string) (map[int]bool, error) {
	text, err := os.ReadFile(trace)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // it came by none
	}
	if err != nil {
		return nil, err
	}
	reached := make(map[int]bool)
	for field := range strings.FieldsSeq(string(text)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		reached[n] = true
	}
	return reached, os.Remove(trace)
}

// tryAll tries the changes whose outcome is not known yet. Where tests took too long, they are run again at the end,
// with more time: other processes may have had the processor. Tests that hang mostly wait, so that many can at a time.
func (s *suite) tryAll(ctx context.Context, workers int, mutants []*mutant, w io.Writer) error {
	todo := slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return m.state != untried })
	if err := s.tryEach(ctx, workers, todo, 1, w); err != nil {
		return err
	}
	todo = slices.DeleteFunc(todo, func(m *mutant) bool { return m.state != hung })
	return s.tryEach(ctx, 4*workers, todo, 3, w)
}

func (s *suite) tryEach(ctx context.Context, workers int, mutants []*mutant, patience int, w io.Writer) error {
	next := make(chan *mutant)
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range workers {
		all.Go(func() {
			for m := range next {
				by := s.try(ctx, m, patience)
				mu.Lock()
				if m.state != hung || patience > 1 {
					_, err := fmt.Fprintln(w, m.outcome(by))
					failed = errors.Join(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range mutants {
		next <- m
	}
	close(next)
	all.Wait()
	return cmp.Or(failed, ctx.Err())
}

// atOnce is how long the tests may take that one process runs. Each longer one has a process of its own.
const atOnce = time.Second

// limit is how long tests may take that took this long without a change.
func limit(takes time.Duration, patience int) time.Duration {
	return time.Duration(patience) * (10*time.Second + 5*takes).Round(time.Second)
}

// try runs the tests that come by a change until one notices it, and returns which one, or how the process ended.
func (s *suite) try(ctx context.Context, m *mutant, patience int) (by string) {
	m.state = unreached
	var names []string
	var takes time.Duration
	for _, c := range s.tests {
		if !c.reaches[m.number] {
			continue
		}
		if len(names) > 0 && takes+c.takes > atOnce {
			if m.state, by = s.tryWith(ctx, m, names, limit(takes, patience)); m.state != survived {
				return by
			}
			names, takes = nil, 0
		}
		names, takes = append(names, c.name), takes+c.takes
	}
	if len(names) > 0 {
		m.state, by = s.tryWith(ctx, m, names, limit(takes, patience))
	}
	return by
}

var failure = regexp.MustCompile(`(?m)^(?:--- FAIL: (\S+)|fatal error: .*|panic: .*)`)

func (s *suite) tryWith(ctx context.Context, m *mutant, names []string, limit time.Duration) (state, string) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := s.run(within, names, "MUTANTS_ON="+strconv.Itoa(m.number))
	switch {
	case within.Err() != nil:
		return hung, "one of " + strings.Join(names, " ")
	case err == nil:
		return survived, ""
	}
	if found := failure.FindSubmatch(out); found != nil {
		return killed, cmp.Or(string(found[1]), string(found[0]))
	}
	return killed, "the end of the process"
}
