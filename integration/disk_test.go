package integration

import (
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// onSmallDisk moves the site to a file system of its own with room for size bytes. It needs the right to mount.
func onSmallDisk(t *testing.T, s *site, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func growDisk(t *testing.T, s *site, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
		t.Fatal(err)
	}
}

func TestASecondaryWithAFullDiskSaysSoKeepsWhatItHasAndGoesOnWhenThereIsRoom(t *testing.T) {
	for name, c := range map[string]struct{ threshold, says string }{
		"by transactions":   {"0", "no space left"},
		"the file as it is": {"64MB", "no space: the disk of"},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := newSite(t, true), newSite(t, true)
			onSmallDisk(t, target, "1m")
			last := ownHistory(t, source, 200)
			addr := freeAddress(t)
			start(t, "primary", source, "--replicate-to", addr)
			secondary := start(t, "secondary", target, "--replicate-from", addr, "--seed-threshold", c.threshold)
			status, err := secondary.Await(within(t), "the disk is full", func(s *admin.Status) bool {
				return s.Upstream.LastError != nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if text := *status.Upstream.LastError; !strings.Contains(text, c.says) {
				t.Errorf("the operator is not told that the disk is full: %s", text)
			}
			growDisk(t, target, "100m")
			mustReach(t, secondary, last)
			stop(t, secondary)
			mustBeIdentical(t, source, target)
		})
	}
}
