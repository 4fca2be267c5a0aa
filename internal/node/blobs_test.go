package node

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

func TestASecondaryCanShareTheBlobDirectoryOfItsPrimary(t *testing.T) {
	disk := diskWith(t, 3)
	a := newSite(t, disk)
	c := a.config()
	c.Blobs = "blobs"
	a.run(t, func(ctx context.Context) error { return RunPrimary(ctx, PrimaryConfig{Config: c}) }).
		await(t, "it is ready", ready)

	b := newSite(t, disk) // one disk, as both machines see it, with a storage for each
	sc := b.secondaryConfig(a)
	sc.Data, sc.Blobs, sc.SharedBlobs = "Copy.fs", "blobs", true
	b.run(t, func(ctx context.Context) error { return RunSecondary(ctx, sc) }).
		await(t, "it has everything", func(st *admin.Status) bool {
			return st.Ready && st.Storage.Shared && st.Storage.LastTid != nil
		})
}

func TestASharedDirectoryThatIsNotThereEndsTheNode(t *testing.T) {
	a := newSite(t, diskWith(t, 1))
	c := newSite(t, simdisk.New()).secondaryConfig(a)
	c.Blobs, c.SharedBlobs = "nas", true
	if e := fails[*StartError](t, RunSecondary(t.Context(), c)); !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("got %v", e)
	}
	if err := c.FS.Mkdir("nas", 0o777); err != nil {
		t.Fatal(err)
	}
	if e := fails[*StartError](t, RunSecondary(t.Context(), c)); !strings.Contains(e.Error(), "is mounted") {
		t.Errorf("got %v", e)
	}
}
