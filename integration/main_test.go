package integration

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/zrsd/zrsd/internal/daemon"
)

// zrsd is the binary that all tests run; built once.
var zrsd string

func TestMain(m *testing.M) {
	if os.Getenv(writerEnv) != "" {
		os.Exit(writeUntilKilled())
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "zrsd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	var flags []string
	if os.Getenv("ZRSD_RACE") == "1" {
		flags = append(flags, "-race")
	}
	if zrsd, err = daemon.Build(context.Background(), "..", dir, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
