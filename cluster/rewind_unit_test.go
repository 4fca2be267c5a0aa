package cluster

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// A node that was promoted meanwhile, or has got another transaction, is not rewound to what another one has.
func TestAPlanForAnotherStateIsDropped(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keep, err := state.Open(disk, "Data.fs")
	if err == nil {
		err = keep.Create()
	}
	if err != nil {
		t.Fatal(err)
	}
	last := st.LastTid()
	for _, c := range []struct {
		name  string
		leads bool
		until zodb.Tid
		noted bool
	}{
		{"it leads", true, last, false},
		{"it has another transaction", false, last - 1, false},
		{"it is as it was", false, last, true},
	} {
		n := New(Options{
			Identity: Identity{FS: disk, Data: "Data.fs", Logger: hclog.NewNullLogger()}, Storage: st, State: keep,
		})
		n.setPrimary(c.leads)
		n.rewindAfter = &rewindError{plan: &state.Rewind{
			Last: last - 2, First: last - 1, Until: c.until, Epochs: keep.State().Epochs, Follow: []string{"b:5000"},
		}}
		ended, noted := n.NoteRewind()
		if written := keep.State().Rewind != nil; !ended || noted != c.noted || written != c.noted {
			t.Errorf("%s: ended %v, noted %v: %+v", c.name, ended, noted, keep.State().Rewind)
		}
	}
}
