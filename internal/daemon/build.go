package daemon

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build compiles zrsd from the module in the folder root into dir and returns the path of the binary. Extra flags go to
// go build.
func Build(ctx context.Context, root, dir string, flags ...string) (string, error) {
	binary := filepath.Join(dir, "zrsd")
	args := append([]string{"build", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/zrsd")...) //nolint:gosec // flags of go build
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building zrsd: %w\n%s", err, out)
	}
	return binary, nil
}
