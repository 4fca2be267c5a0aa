package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// An example is what a program outside of this module can copy: it uses nothing that only this module may import.
func TestExamplesUseOnlyPublicPackages(t *testing.T) {
	for _, dir := range []string{"filestorage", "zeo", "zeo/client", "secondary"} {
		path := filepath.Join("../..", dir, "example_test.go")
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file.Name.Name, "_test") {
			t.Errorf("%s is inside of the package", path)
		}
		for _, imported := range file.Imports {
			if strings.Contains(imported.Path.Value, "/internal/") {
				t.Errorf("%s imports %s", path, imported.Path.Value)
			}
		}
	}
}
