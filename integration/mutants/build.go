package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// helpers goes into the package whose code is changed.
const helpers = `package %s

import (
	"os"
	"strconv"
	"sync"
)

var (
	mutantOn, _  = strconv.Atoi(os.Getenv("MUTANTS_ON"))
	mutantTrace  = os.Getenv("MUTANTS_TRACE")
	mutantPassed sync.Map
)

func mutantIs(n int) bool {
	if mutantTrace != "" {
		if _, again := mutantPassed.LoadOrStore(n, true); !again {
			f, err := os.OpenFile(mutantTrace, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				panic(err)
			}
			_, _ = f.WriteString(strconv.Itoa(n) + "\n")
			_ = f.Close()
		}
	}
	return n == mutantOn
}

func mutantOr[T any](on bool, is, other T) T {
	if on {
		return other
	}
	return is
}
`

// build makes a test binary with all changes in it. Those that do not compile are dropped.
func build(ctx context.Context, dir, pkg string, files []string) (binary string, mutants []*mutant, err error) {
	drop := make(map[int]bool)
	binary = filepath.Join(dir, "changed.test")
	for {
		mutants, err = overlay(dir, pkg, files, drop)
		if err != nil {
			return "", nil, err
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay",
			filepath.Join(dir, "overlay.json"), "-o", binary, "./"+filepath.Clean(pkg))
		out, err := cmd.CombinedOutput()
		if err == nil {
			return binary, mutants, nil
		}
		if before := len(drop); !dropBroken(out, mutants, drop) || len(drop) == before {
			return "", nil, fmt.Errorf("building the changes: %w\n%s", err, out)
		}
	}
}

var position = regexp.MustCompile(`(?m)^\S*?([^/\s]+\.go):(\d+):\d+: `)

// dropBroken notes the fragile changes of the lines that the compiler complains of.
func dropBroken(out []byte, mutants []*mutant, drop map[int]bool) (some bool) {
	for _, found := range position.FindAllSubmatch(out, -1) {
		line, _ := strconv.Atoi(string(found[2]))
		for _, m := range mutants {
			if m.fragile && m.lines[0] <= line && line <= m.lines[1] && filepath.Base(m.file) == string(found[1]) {
				drop[m.number], some = true, true
			}
		}
	}
	return some
}

// overlay writes the changed files, and says where they belong.
func overlay(dir, pkg string, files []string, drop map[int]bool) (mutants []*mutant, err error) {
	replace := make(map[string]string)
	next, name := 0, ""
	for _, base := range files {
		c := &changer{file: filepath.Join(pkg, base), set: token.NewFileSet(), next: &next, drop: drop}
		if c.src, err = os.ReadFile(c.file); err != nil {
			return nil, err
		}
		tree, err := parser.ParseFile(c.set, c.file, c.src, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		name = tree.Name.Name
		for _, decl := range tree.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				ast.Inspect(f, c.visit)
			}
		}
		for _, e := range c.edits {
			mutants = append(mutants, e.m)
		}
		// The name of the file is the same, so that the compiler's messages have it.
		if err := put(dir, c.file, filepath.Join(dir, base), c.changed(), replace); err != nil {
			return nil, err
		}
	}
	if name == "" {
		return nil, errors.New("there is no file to change")
	}
	extra := fmt.Appendf(nil, helpers, name)
	err = put(dir, filepath.Join(pkg, "mutants_helpers.go"), filepath.Join(dir, "mutants_helpers.go"), extra, replace)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(map[string]any{"Replace": replace}); err != nil {
		return nil, err
	}
	return mutants, os.WriteFile(filepath.Join(dir, "overlay.json"), b.Bytes(), 0o600)
}

func put(dir, original, changed string, text []byte, replace map[string]string) error {
	path, err := filepath.Abs(original)
	if err != nil {
		return fmt.Errorf("the folder of %s: %w", dir, err)
	}
	replace[path] = changed
	return os.WriteFile(changed, text, 0o600)
}
