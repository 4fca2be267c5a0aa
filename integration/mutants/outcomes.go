package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// chosen returns the changes of a list of numbers, all of them without one.
func chosen(mutants []*mutant, only string) ([]*mutant, error) {
	if only == "" {
		return mutants, nil
	}
	var some []*mutant
	for field := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(mutants, func(m *mutant) bool { return strconv.Itoa(m.number) == field })
		if i < 0 {
			return nil, fmt.Errorf("there is no change %q", field)
		}
		some = append(some, mutants[i])
	}
	return some, nil
}

var stateNames = map[state]string{unreached: "not reached", killed: "noticed", hung: "hung", survived: "SURVIVED"}

// outcome is a line of the log.
func (m *mutant) outcome(by string) string {
	return fmt.Sprintf("%d\t%s\t%v\t%s", m.number, stateNames[m.state], m, by)
}

// openOutcomes takes over the outcomes of a run that was ended, and returns where to write more of them. Changes are
// known by what they are, and by their order where several are the same: numbers move when the code is edited.
func openOutcomes(path string, mutants []*mutant) (io.WriteCloser, error) {
	if path == "" {
		return nopCloser{io.Discard}, nil
	}
	known, err := readOutcomes(path)
	if err != nil {
		return nil, err
	}
	same := make(map[string][]*mutant)
	for _, m := range mutants {
		same[m.String()] = append(same[m.String()], m)
	}
	for what, list := range same {
		numbers := slices.Sorted(maps.Keys(known[what]))
		for i, m := range list {
			if len(numbers) == len(list) {
				m.state = known[what][numbers[i]]
			}
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// readOutcomes returns the last outcome of each change, by what it is and its number.
func readOutcomes(path string) (map[string]map[int]state, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	known := make(map[string]map[int]state)
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Split(line, "\t")
		n, err := strconv.Atoi(fields[0])
		if err != nil || len(fields) != 4 {
			continue
		}
		for is, name := range stateNames {
			if fields[1] != name {
				continue
			}
			if known[fields[2]] == nil {
				known[fields[2]] = make(map[int]state)
			}
			known[fields[2]][n] = is
		}
	}
	return known, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
