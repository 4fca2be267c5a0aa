package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestASecondaryCanShareTheBlobDirectoryOfItsPrimary(t *testing.T) {
	disk := nodetest.DiskWith(t, 3)
	a := newSite(t, disk)
	c := a.config()
	c.Blobs = "blobs"
	a.run(t, func(ctx context.Context) error { return runPrimary(ctx, PrimaryConfig{Config: c}) }).
		Await(t, "it is ready", nodetest.Ready)

	b := newSite(t, disk) // one disk, as both machines see it, with a storage for each
	sc := b.secondaryConfig(a)
	sc.Data, sc.Blobs, sc.SharedBlobs = "Copy.fs", "blobs", true
	b.run(t, func(ctx context.Context) error { return runSecondary(ctx, sc) }).
		Await(t, "it has everything", func(st *admin.Status) bool {
			return st.Ready && st.Storage.Shared && st.Storage.LastTid != nil
		})
}

func TestASharedDirectoryThatIsNotThereEndsTheNode(t *testing.T) {
	a := newSite(t, nodetest.DiskWith(t, 1))
	c := newSite(t, simdisk.New()).secondaryConfig(a)
	c.Blobs, c.SharedBlobs = "nas", true
	if e := fails[*StartError](t, runSecondary(t.Context(), c)); !errors.Is(e, fs.ErrNotExist) {
		t.Errorf("got %v", e)
	}
	if err := c.FS.Mkdir("nas", 0o777); err != nil {
		t.Fatal(err)
	}
	if e := fails[*StartError](t, runSecondary(t.Context(), c)); !strings.Contains(e.Error(), "is mounted") {
		t.Errorf("got %v", e)
	}
}

const blobRecord = "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."

// withBlob adds the record of a blob to the storage on a disk, without its blob.
func withBlob(t *testing.T, disk vfs.FS) {
	t.Helper()
	nodetest.Commit(t, disk, 3)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	must(t, err)
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	must(t, err, txn.Store(2, 0, []byte(blobRecord)))
	_, err = txn.Finish(t.Context(), nil)
	must(t, err, st.Close())
}

// A blob directory that is empty, as where its mount is away, ends the start of every kind of node whose data file has
// blobs, before anything is made in it. Who says that the blobs are lost can start.
func TestAStartWithoutTheMountOfTheBlobsIsRefused(t *testing.T) {
	from := newSite(t, nodetest.DiskWith(t, 1))
	from.primary(t).Await(t, "it is ready", nodetest.Ready)
	for name, begin := range map[string]func(ctx context.Context, s *site, c Config) error{
		"primary": func(ctx context.Context, _ *site, c Config) error {
			return runPrimary(ctx, PrimaryConfig{Config: c})
		},
		"attached": func(ctx context.Context, _ *site, c Config) error {
			return runPrimary(ctx, PrimaryConfig{Config: c, Attach: true})
		},
		"secondary": func(ctx context.Context, s *site, c Config) error {
			sc := s.secondaryConfig(from)
			sc.Config = c
			return runSecondary(ctx, sc)
		},
		"alone": func(ctx context.Context, s *site, c Config) error {
			return Serve(ctx, Process{Shared: Config{Admin: s.control},
				Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{Config: c}}}})
		},
	} {
		for _, mounted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := newSite(t, simdisk.New())
				withBlob(t, s.disk)
				if mounted { // the folder for it is there
					must(t, s.disk.Mkdir("blobs", 0o777))
				}
				c := s.config()
				c.Blobs = "blobs"
				for range 2 { // the first one leaves nothing that the second one would believe
					e := fails[*noBlobsError](t, begin(t.Context(), s, c))
					if e.Oid != 2 || !strings.Contains(e.Error(), "check that it is mounted") {
						t.Errorf("the words are: %v", e)
					}
				}
				if names, err := s.disk.ReadDir("blobs"); len(names) > 0 {
					t.Errorf("left %v, %v", names, err)
				}
				if name != "alone" && name != "primary" {
					return
				}
				must(t, errors.Join(ignore(s.disk.Mkdir("blobs", 0o777), fs.ErrExist), marked(s.disk)))
				s.run(t, func(ctx context.Context) error { return begin(ctx, s, c) }).
					Await(t, "it is ready", nodetest.Ready)
			})
		}
	}
}

func ignore(err, one error) error {
	if errors.Is(err, one) {
		return nil
	}
	return err
}

func marked(disk vfs.FS) error {
	f, err := disk.OpenFile("blobs/.layout", os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("bushy\n"), 0)
	return errors.Join(err, f.Close())
}

// Where the data file has no blobs, or there is none yet, an empty directory is one that begins.
func TestANewBlobDirectoryIsMadeWhereThereAreNoBlobs(t *testing.T) {
	for _, n := range []int{0, 3} {
		s := newSite(t, simdisk.New())
		if n > 0 {
			nodetest.Commit(t, s.disk, n)
		}
		c := s.config()
		c.Blobs = "blobs"
		s.run(t, func(ctx context.Context) error { return runPrimary(ctx, PrimaryConfig{Config: c, Create: true}) }).
			Await(t, "it is ready", nodetest.Ready)
		if _, err := s.disk.Stat("blobs/.layout"); err != nil {
			t.Error(err)
		}
	}
}

func TestABlobCacheIsNotTakenForAllBlobs(t *testing.T) {
	c := newSite(t, nodetest.DiskWith(t, 1)).config()
	c.Blobs, c.BlobPlaces.CacheSize, c.Logger = "blobs", 1000, hclog.NewNullLogger()
	_, err := c.openBlobs(false)
	must(t, err)

	c.BlobPlaces.CacheSize = 0
	var partial *partialBlobsError
	if e := fails[*StartError](t, runPrimary(t.Context(), PrimaryConfig{Config: c})); !errors.As(e, &partial) {
		t.Errorf("without a cache size: %v", e)
	}
	must(t, c.FS.Remove(blobstore.PartialMarker("blobs")))
	_, err = c.openBlobs(false)
	must(t, err)
}
