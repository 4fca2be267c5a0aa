package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func operations(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFlagIsDocumented(t *testing.T) {
	doc := operations(t)
	for _, cmd := range rootCommand().Commands() {
		if cmd.Name() == "status" { // shows what it asks for
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !regexp.MustCompile("--" + f.Name + `\b`).MatchString(doc) {
				t.Errorf("docs/operations.md does not mention --%s of zrsd %s", f.Name, cmd.Name())
			}
		})
	}
}

func TestTheDocumentedExitCodesAreThoseOfTheHelp(t *testing.T) {
	doc := operations(t)
	for _, line := range strings.Split(exitHelp, "\n")[1:] {
		code, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if row := "| " + code + " | " + strings.TrimSpace(text) + " |"; !ok || !strings.Contains(doc, row) {
			t.Errorf("docs/operations.md has no row %q", row)
		}
	}
}

var (
	statement = regexp.MustCompile(`(?m)(?:^- |\()([A-Z]\d+)[.)]`)
	heldBy    = regexp.MustCompile(`(?m)^\| ([A-Z0-9, ]+) \| (.*) \|$`)
	testName  = regexp.MustCompile("`([a-z/]+)`|(Test\\w+)")
)

// Every numbered statement about failover has a row with tests that exist.
func TestEveryStatementAboutFailoverHasATest(t *testing.T) {
	doc, err := os.ReadFile("../../docs/failover.md")
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]bool{}
	for _, row := range heldBy.FindAllStringSubmatch(string(doc), -1) {
		for _, id := range strings.Split(row[1], ", ") {
			held[id] = true
		}
		folder := ""
		for _, name := range testName.FindAllStringSubmatch(row[2], -1) {
			if name[1] != "" {
				folder = name[1]
				continue
			}
			if !declares(t, "../../"+folder, name[2]) {
				t.Errorf("%s: there is no %s in %s", row[1], name[2], folder)
			}
		}
	}
	stated := statement.FindAllStringSubmatch(string(doc), -1)
	if len(stated) < 30 {
		t.Errorf("only %d statements were found", len(stated))
	}
	for _, s := range stated {
		if !held[s[1]] {
			t.Errorf("no test is named for statement %s", s[1])
		}
	}
}

// declares reports whether a test is in the test files of a folder.
func declares(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(folder + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+name+"(") {
			return true
		}
	}
	return false
}
