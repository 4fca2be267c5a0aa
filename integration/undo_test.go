package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The calls that make a random history in zrsd make the same bytes in the real ZODB, undos included, and the same undos
// are refused.
func TestHistoriesAreThoseOfRealZODB(t *testing.T) {
	type job struct {
		Data  string `json:"data"`
		Calls []call `json:"calls"`
		ours  string
	}
	var jobs []job
	undone, refused := 0, 0
	for seed := range uint64(60) {
		written, calls := randomHistory(t, 2*seed)
		jobs = append(jobs, job{filepath.Join(t.TempDir(), "Data.fs"), calls, written.Data})
		for _, c := range calls {
			switch c.Op {
			case "undo":
				undone++
			case "refused":
				refused++
			}
		}
	}
	if undone < 60 || refused < 60 {
		t.Errorf("%d undos, %d refused: that proves little", undone, refused)
	}
	var wrong [][]int
	ask(t, &wrong, "replay.py", jobsFile(t, jobs))
	for i, calls := range wrong {
		for _, n := range calls {
			t.Errorf("history %d, call %d: ZODB does not agree about %+v", i, n, jobs[i].Calls[n])
		}
		zodbs, err := os.ReadFile(jobs[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.ReadFile(jobs[i].ours)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(zodbs, ours) {
			t.Errorf("history %d: the files differ", i)
		}
	}
}
