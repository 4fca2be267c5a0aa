package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// operations returns the pages for operators.
func operations(t *testing.T) (text string) {
	t.Helper()
	for _, page := range []string{"operations.md", "replication.md"} {
		b, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

func TestEveryFlagIsDocumented(t *testing.T) {
	doc := operations(t)
	for _, cmd := range rootCommand().Commands() {
		if cmd.Name() == "status" { // shows what it asks for
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !regexp.MustCompile("--" + f.Name + `\b`).MatchString(doc) {
				t.Errorf("operations.md and replication.md do not mention --%s of zrsd %s", f.Name, cmd.Name())
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

var namedTest = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)

// Every fault in docs/track-record.md names what keeps it away: a test that exists, a command, or a document.
func TestEveryFaultOnRecordHasATest(t *testing.T) {
	doc := readText(t, "../../docs/track-record.md")
	declared := map[string]bool{}
	for _, name := range declaredTests(t, "../..") {
		declared[name] = true
	}
	faults := 0
	for _, line := range strings.Split(doc, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) < 4 || strings.TrimSpace(cells[0]) == "no." {
			continue
		}
		faults++
		names := namedTest.FindAllString(cells[len(cells)-1], -1)
		if len(names) == 0 && !strings.ContainsAny(cells[len(cells)-1], "`/") {
			t.Errorf("no test is named for: %.100s", line)
		}
		for _, name := range names {
			if !declared[name] {
				t.Errorf("there is no %s, which is named for: %.100s", name, line)
			}
		}
	}
	if faults < 100 {
		t.Errorf("only %d faults were found", faults)
	}
}

var declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// declaredTests returns the names of all tests and fuzz targets below a folder.
func declaredTests(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range declaration.FindAllStringSubmatch(readText(t, path), -1) {
				names = append(names, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
