package main

import (
	"errors"
	"fmt"
	"io"
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

// openOutcomes reads the outcomes of a run that was ended, and returns where to write more of them.
func openOutcomes(path string, mutants []*mutant) (io.WriteCloser, error) {
	if path == "" {
		return nopCloser{io.Discard}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	known := make(map[string]state)
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Split(line, "\t")
		for state, name := range stateNames {
			if len(fields) == 4 && fields[1] == name {
				known[fields[0]+"\t"+fields[2]] = state
			}
		}
	}
	for _, m := range mutants {
		if state, ok := known[strconv.Itoa(m.number)+"\t"+m.String()]; ok {
			m.state = state
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
