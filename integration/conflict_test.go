package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/zrsd/zrsd/internal/conflict"
	"github.com/zrsd/zrsd/internal/conflict/conflicttest"
)

func TestRandomConflictsOfBTreesAreMergedAsTheZODBHereDoes(t *testing.T) {
	t.Parallel()
	seed := fmt.Sprint(rand.Uint32())
	t.Logf("to play this again: conflicts.py %s 3000", seed)
	out, err := exec.CommandContext(within(t), python(t), "python/conflicts.py", seed, "3000").Output()
	if err != nil {
		t.Fatal(err)
	}
	conflicttest.Check(t, bytes.NewReader(out), conflict.Resolve)
}
