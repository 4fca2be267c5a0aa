package secondary

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/compare"
	"github.com/zrsd/zrsd/internal/vfs"
)

// What a real zc.zrs primary sent for a file becomes the same storage here.
func TestARecordedStreamOfZcZrsBecomesTheSameStorage(t *testing.T) {
	found, err := filepath.Glob("../testdata/zrs/*/*.all.bin")
	if err != nil || len(found) < 10 {
		t.Fatalf("%d recordings, %v", len(found), err)
	}
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			stream, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			addr, _ := oldPrimary(t, func(v *visit) error {
				_, err := v.Write(stream)
				return errors.Join(err, v.untilGone())
			})
			from, to := fixture(t, name), onDisk(t, vfs.OS{}, t.TempDir())
			to.follow(t, addr, inZrs2).has(t, from.st.LastTid())
			res, err := compare.Run(t.Context(), from.st, to.st, compare.Options{})
			if err != nil || !res.Equal {
				t.Errorf("%v, %v", res.Difference, err)
			}
		})
	}
}
