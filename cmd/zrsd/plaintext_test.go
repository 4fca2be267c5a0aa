package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestWhoConnectsAsANodeCanBeAllowedPlainText: what has a secret for the replication has the flag that nodes have, too.
func TestWhoConnectsAsANodeCanBeAllowedPlainText(t *testing.T) {
	found := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("secret-file") != nil {
			found++
			if cmd.Flags().Lookup("insecure-plain-text") == nil {
				t.Errorf("%s has --secret-file and no --insecure-plain-text", cmd.CommandPath())
			}
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(rootCommand())
	if found < 12 {
		t.Errorf("only %d commands were found", found)
	}
}

// TestPlainTextLeavesThisMachineOnlyWhereThatWasAskedFor: 0.0.0.0 is no address of this machine alone, and nobody
// listens there.
func TestPlainTextLeavesThisMachineOnlyWhereThatWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "Data.fs")
	if err := os.WriteFile(data, []byte("FS30"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"compare ADDR ADDR", "check DATA --against ADDR", "verify --once DATA --peer ADDR",
		"heal --data DATA --from ADDR", "blobs recover DATA --blobs " + dir + " --from ADDR",
		"repozo -B -r " + dir + " --from ADDR", "archive run file://" + dir + " --once --from ADDR",
		"seed --data " + dir + "/copy.fs --from ADDR --timeout 100ms",
	} {
		for _, allowed := range []bool{false, true} {
			text := strings.NewReplacer("ADDR", "0.0.0.0:1", "DATA", data).Replace(command)
			if allowed {
				text += " --insecure-plain-text"
			}
			var out, stderr strings.Builder
			code := run(context.Background(), strings.Fields(text), &out, &stderr)
			asks := strings.Contains(stderr.String(), "--insecure-plain-text")
			if refused := code == exitUsage && asks; refused == allowed {
				t.Errorf("zrsd %s: exit code %d: %s", text, code, &stderr)
			}
		}
	}
}
