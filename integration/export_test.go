package integration

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAnExportIsWhatTheRealZODBReadsAtThatMoment makes a database with all that an export has a rule for, exports it as
// of a moment before its last commit, and has Python compare each value of the SQLite file with the living objects.
func TestAnExportIsWhatTheRealZODBReadsAtThatMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, out := filepath.Join(dir, "Data.fs"), filepath.Join(dir, "site.sqlite")
	var tid string
	ask(t, &tid, "export_rows.py", "make", data)
	cmd := exec.CommandContext(within(t), zrsd, "export", data, "-o", out, "--format", "sqlite", "--as-of", tid,
		"--paths")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var wrong []string
	ask(t, &wrong, "export_rows.py", "check", data, tid, out)
	for _, w := range wrong {
		t.Error(w)
	}
}
