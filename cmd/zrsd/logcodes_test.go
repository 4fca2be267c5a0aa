package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/warning"
)

// Somebody who is woken by a line of the log at WARN or ERROR finds its code in docs/runbook.md. What asks nobody to do
// something is at INFO.
func TestEachLineAtWarnOrErrorNamesARegisteredWarning(t *testing.T) {
	names := warningNames(t)
	lines := 0
	for _, path := range goSources(t, "../..") {
		if strings.Contains(path, "integration/") || strings.Contains(path, "test/") ||
			strings.Contains(path, "internal/admission/") { // which passes on what it is given
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if f, is := n.(*ast.FuncDecl); is && choosesLoud(f) {
				t.Errorf("%v: it chooses WARN or ERROR, and names no warning", files.Position(f.Pos()))
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || !isLoud(call) {
				return true
			}
			lines++
			if !namesWarning(call, names) {
				t.Errorf("%v: give the line a registered code, \"warning\", warning.…, or write it at INFO",
					files.Position(call.Pos()))
			}
			return true
		})
	}
	if lines < 80 {
		t.Errorf("only %d lines at WARN or ERROR were found", lines)
	}
}

// isLoud reports whether a call writes a line at WARN or ERROR, by its method or by a level that it is given.
func isLoud(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	if method.Sel.Name == "Warn" || method.Sel.Name == "Error" {
		_, made := call.Args[0].(*ast.CallExpr)
		return !made || len(call.Args) > 1 || isText(call.Args[0]) // Warn(fmt.Errorf(…)) of blobtools is no logger's
	}
	return slices.ContainsFunc(call.Args, isLoudLevel)
}

// isText reports whether a call gives the text of an error.
func isText(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && method.Sel.Name == "Error"
}

func isLoudLevel(e ast.Expr) bool {
	level, ok := e.(*ast.SelectorExpr)
	if !ok || level.Sel.Name != "Warn" && level.Sel.Name != "Error" {
		return false
	}
	pkg, ok := level.X.(*ast.Ident)
	return ok && pkg.Name == "hclog"
}

// choosesLoud reports whether a function chooses WARN or ERROR as a level, and names no warning.
func choosesLoud(f *ast.FuncDecl) bool {
	chooses, names := false, false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			chooses = chooses || slices.ContainsFunc(n.Rhs, isLoudLevel)
		case *ast.BasicLit:
			names = names || n.Value == `"warning"`
		}
		return true
	})
	return chooses && !names
}

// namesWarning reports whether a line has a code: a constant of the package warning, a registered text, or what a
// variable has of the type of codes.
func namesWarning(call *ast.CallExpr, names []string) bool {
	for i, arg := range call.Args[:len(call.Args)-1] {
		if key, ok := text(arg); !ok || key != "warning" {
			continue
		}
		switch code := call.Args[i+1].(type) {
		case *ast.SelectorExpr:
			return slices.Contains(names, code.Sel.Name)
		case *ast.BasicLit:
			s, _ := text(code)
			return slices.ContainsFunc(warning.Table, func(k warning.Kind) bool { return string(k.Code) == s })
		default:
			return true
		}
	}
	return false
}

// warningNames returns the names of the constants of all codes.
func warningNames(t *testing.T) (names []string) {
	t.Helper()
	table := readText(t, "../../internal/warning/table.go")
	for _, found := range regexp.MustCompile(`(?m)^\t(\w+) +Code = `).FindAllStringSubmatch(table, -1) {
		names = append(names, found[1])
	}
	return names
}
