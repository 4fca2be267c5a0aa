//go:build !packaging

// Command zrsd replicates ZODB FileStorages. See the help of each command, docs/quick-start.md and docs/operations.md.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), asRunzeo(os.Args[0], os.Args[1:]), os.Stdout, os.Stderr))
}
