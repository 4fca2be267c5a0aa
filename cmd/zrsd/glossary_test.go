package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

var (
	inZrsd   = regexp.MustCompile(`(?m)^\|(?:[^|\n]*\|){5} ([^|\n]*) \|$`) // the sixth column
	quoted   = regexp.MustCompile("`([^`]+)`")
	stateRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")
)

// Every field, metric, flag and command that docs/glossary.md names exists.
func TestNamesInTheGlossaryExist(t *testing.T) {
	doc := readText(t, "../../docs/glossary.md")
	terms, states, ok := strings.Cut(doc, "\n## States\n")
	if !ok {
		t.Fatal("there are no states")
	}
	var names []string
	for _, cell := range inZrsd.FindAllStringSubmatch(terms, -1) {
		names = append(names, quotedIn(cell[1])...)
	}
	if len(names) < 50 {
		t.Errorf("only %d names were found", len(names))
	}
	for _, part := range strings.Split(states, "\n\nOf ")[1:] {
		names = append(names, quotedIn(strings.SplitN(part, "\n", 2)[0])...)
	}
	for _, name := range names {
		if !exists(t, name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// The glossary has every state of a secondary and of a connection, and no other one.
func TestStatesInTheGlossaryExist(t *testing.T) {
	doc := readText(t, "../../docs/glossary.md")
	of := strings.Split(doc, "\n\nOf ")
	if len(of) != 3 {
		t.Fatalf("%d tables of states, want 2", len(of)-1)
	}
	for i, path := range []string{"../../secondary/status.go", "../../primary/status.go"} {
		var listed, declared []string
		for _, row := range stateRow.FindAllStringSubmatch(of[i+1], -1) {
			listed = append(listed, row[1])
		}
		constant := regexp.MustCompile(`(?m)^\tState\w+ +State += "([a-z-]+)"`)
		for _, c := range constant.FindAllStringSubmatch(readText(t, path), -1) {
			declared = append(declared, c[1])
		}
		slices.Sort(listed)
		slices.Sort(declared)
		if len(declared) == 0 || !slices.Equal(listed, declared) {
			t.Errorf("%s declares the states %v, listed are %v", path, declared, listed)
		}
	}
}

func quotedIn(text string) []string {
	var names []string
	for _, q := range quoted.FindAllStringSubmatch(text, -1) {
		names = append(names, q[1])
	}
	return names
}

// exists reports whether there is a command, flag, metric or field of the status document of this name.
func exists(t *testing.T, name string) bool {
	t.Helper()
	switch {
	case strings.HasPrefix(name, "zrsd "):
		cmd, _, err := rootCommand().Find(strings.Fields(name)[1:])
		return err == nil && cmd.HasParent()
	case strings.HasPrefix(name, "zrsd_"):
		return slices.Contains(admin.MetricNames(), name)
	case strings.HasPrefix(name, "--"):
		for _, cmd := range rootCommand().Commands() {
			if cmd.Flags().Lookup(strings.TrimPrefix(name, "--")) != nil {
				return true
			}
		}
		return false
	}
	var status any
	if err := json.Unmarshal([]byte(readText(t, "../../internal/admin/testdata/full.json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Split(name, ".") {
		if list, ok := status.([]any); ok && len(list) > 0 {
			status = list[0]
		}
		object, _ := status.(map[string]any)
		value, ok := object[field]
		if !ok {
			return false
		}
		status = value
	}
	return true
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
