package conflict

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/conflict/conflicttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConflictsAreMergedAsZODBDoes(t *testing.T) {
	f, err := os.Open("testdata/conflicts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conflicttest.Check(t, f, Resolve)
}
