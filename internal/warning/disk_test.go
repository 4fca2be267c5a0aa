package warning_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/warning"
)

// A disk of any size warns before a commit fails: what nodes of a cluster take for a full disk is one on the page, too.
func TestADiskOfAnySizeWarnsBeforeItIsFull(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct {
		free, size int64
		want       warning.Code
	}{
		{3 * mib, 40 * mib, warning.DiskFull},
		{63 * mib, gib, warning.DiskFull},
		{100 * mib, gib, warning.DiskLow},
		{200 * mib, gib, ""},
		{gib - 1, 1000 * gib, warning.DiskFull},
		{9 * gib, 1000 * gib, warning.DiskLow},
		{11 * gib, 1000 * gib, ""},
		{4 * gib, 50 * gib, ""},
		{2 * gib, 50 * gib, warning.DiskLow},
	} {
		if got := warning.ForDisk(c.free, c.size); got != c.want {
			t.Errorf("%d MiB of %d are free: %q, want %q", c.free/mib, c.size/mib, got, c.want)
		}
	}
}
