package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var logKey = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// A log line is searched by its keys, so they are snake_case, without spaces, in all packages.
func TestLogKeysAreSnakeCase(t *testing.T) {
	keys := 0
	for _, path := range goSources(t, "../..") {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				for _, key := range logKeys(call) {
					keys++
					if !logKey.MatchString(key) {
						t.Errorf("%v: the log key %q is not snake_case", files.Position(call.Pos()), key)
					}
				}
			}
			return true
		})
	}
	if keys < 200 {
		t.Errorf("only %d log keys were found", keys)
	}
}

// logKeys returns the keys of a call of a logger: every second argument after the message, or from the first of With.
func logKeys(call *ast.CallExpr) []string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	args := call.Args
	switch method.Sel.Name {
	case "With":
	case "Debug", "Info", "Warn", "Error":
		for len(args) > 0 && !isMessage(args[0]) { // an admission.LogLimiter has its logger, source and kind first
			args = args[1:]
		}
		if len(args) > 0 {
			args = args[1:]
		}
	default:
		return nil
	}
	var keys []string
	for i := 0; i+1 < len(args); i += 2 {
		if key, ok := text(args[i]); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// isMessage reports whether a part of an expression is text of more than one word.
func isMessage(e ast.Expr) bool {
	if sum, ok := e.(*ast.BinaryExpr); ok {
		return isMessage(sum.X) || isMessage(sum.Y)
	}
	s, ok := text(e)
	return ok && len(s) > 1
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// goSources returns the Go files below a folder, without tests.
func goSources(t *testing.T, root string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
