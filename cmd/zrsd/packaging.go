//go:build packaging

// The manual pages and shell completions of all commands, for packages:
//
//	go run -tags packaging ./cmd/zrsd DIR VERSION
//
// It is a build of its own, because zrsd itself has no use for what writes the pages.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra/doc"
)

func main() {
	if err := writePages(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "writing manual pages and completions:", err)
		os.Exit(1)
	}
}

func writePages(dir, version string) error {
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	root := rootCommand()
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	return errors.Join(
		os.MkdirAll(man, 0o755), os.MkdirAll(completions, 0o755),
		doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "zrsd " + version, Manual: "zrsd"}, man),
		root.GenBashCompletionFileV2(filepath.Join(completions, "bash"), true),
		root.GenZshCompletionFile(filepath.Join(completions, "zsh")),
		root.GenFishCompletionFile(filepath.Join(completions, "fish"), true),
	)
}
