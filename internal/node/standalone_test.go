package node

import (
	"errors"
	"testing"

	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
)

// A server that does not replicate tells its clients of everything.
func TestWhoServesAloneForgetsWhatCommitsWaitedFor(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = errors.Join(keep.Create(), keep.Update(func(id *state.State) error {
			id.Waits = &state.Waits{Epoch: 1, Required: 1}
			return nil
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, disk)
	cfg := &StandaloneConfig{Config: s.config()}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	f := newNodeStatus(roleStandalone, &cfg.Config)
	st, err := cfg.open(t.Context(), f, blobDir{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if now, err := state.Load(disk, "Data.fs"); err != nil || now.Waits != nil {
		t.Errorf("it keeps %+v, %v", now.Waits, err)
	}
}
