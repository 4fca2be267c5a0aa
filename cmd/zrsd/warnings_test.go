package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A warning that nothing raises would be documented, and have an alert, for nothing.
func TestEveryRegisteredWarningIsRaised(t *testing.T) {
	table, err := os.ReadFile("../../internal/warning/table.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range goSources(t, "../..") {
		if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal/warning/") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(source)
	}
	for _, found := range regexp.MustCompile(`(?m)^\t(\w+) +Code = `).FindAllSubmatch(table, -1) {
		if name := string(found[1]); !regexp.MustCompile(`\bwarning\.` + name + `\b`).MatchString(all.String()) {
			t.Errorf("nothing raises warning.%s", name)
		}
	}
}
