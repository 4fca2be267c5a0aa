package warning_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/warning"
)

var update = flag.Bool("update", false, "write the entries of docs/runbook.md anew")

const (
	begin = "<!-- from internal/warning/table.go: make generate -->\n"
	end   = "<!-- end -->\n"
)

// Who finds a code in a log or in an alert finds it in the runbook, as it is in the table.
func TestTheRunbookHasAnEntryForEachKind(t *testing.T) {
	const path = "../../docs/runbook.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s has no generated part", path)
	}
	var entries []string
	for _, k := range warning.Table {
		entries = append(entries, k.Runbook())
	}
	want := before + begin + "\n" + strings.Join(entries, "\n") + "\n" + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("%s is not what the table says: run make generate\n%s", path, diff)
	}
}

var (
	codeForm  = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	titleForm = regexp.MustCompile(`^[A-Z].*\.$`)
	cureForm  = regexp.MustCompile(`^[a-z].*[^.]$`)
)

// Every constant of type Code is in the table once, with words for all who read it.
func TestEveryCodeIsRegistered(t *testing.T) {
	registered := map[string]int{}
	for _, k := range warning.Table {
		registered[string(k.Code)]++
		if !codeForm.MatchString(string(k.Code)) {
			t.Errorf("%s: a code is in snake_case", k.Code)
		}
		if k.Severity != warning.Minor && k.Severity != warning.Critical {
			t.Errorf("%s: %q is no severity", k.Code, k.Severity)
		}
		if !titleForm.MatchString(k.Title) || !titleForm.MatchString(k.Means) || !cureForm.MatchString(k.Cure) {
			t.Errorf("%s: a title and a meaning are sentences, a cure is the end of one: %q, %q, %q", k.Code, k.Title,
				k.Means, k.Cure)
		}
		if (k.Doctor || k.Event) && k.NoAlert == "" {
			t.Errorf("%s: what only zrsd doctor finds, or a line of the log says, has no alert; say why", k.Code)
		}
	}
	for _, code := range constants(t) {
		if registered[code] != 1 {
			t.Errorf("%s is %d times in the table", code, registered[code])
		}
		delete(registered, code)
	}
	for code := range registered {
		t.Errorf("%s has no constant", code)
	}
}

// constants returns the values of all constants of type Code.
func constants(t *testing.T) (codes []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Code" {
			codes = append(codes, strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	if len(codes) < 30 {
		t.Fatalf("only %d codes were found", len(codes))
	}
	return codes
}
