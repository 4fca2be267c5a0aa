package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What each package may import is kept by depguard: a package that it does not name may import anything.
func TestEveryPackageHasAFloor(t *testing.T) {
	const root = "../.."
	rules, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if name := e.Name(); path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata") {
			return fs.SkipDir
		}
		if files, err := filepath.Glob(filepath.Join(path, "*.go")); err != nil || len(files) == 0 {
			return err
		}
		packages++
		dir, err := filepath.Rel(root, path)
		if err == nil && !strings.Contains(string(rules), `files: ["**/`+filepath.ToSlash(dir)+`/*.go", "!$test"`) {
			t.Errorf("no rule of depguard in .golangci.yml says what package %s may import", dir)
		}
		return err
	})
	if err != nil || packages < 40 {
		t.Errorf("%d packages, %v", packages, err)
	}
}
