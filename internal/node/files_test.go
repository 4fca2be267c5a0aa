package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
)

// onRealDisk is a primary with blobs whose files somebody can lay hands on.
func onRealDisk(t *testing.T) (*running, string) {
	t.Helper()
	s := newSite(t, vfs.OS{})
	dir := t.TempDir()
	cfg := &PrimaryConfig{Config: s.config(), Create: true}
	cfg.Data, cfg.Blobs = filepath.Join(dir, "Data.fs"), filepath.Join(dir, "blobs")
	run := s.run(t, func(ctx context.Context) error { return runPrimary(ctx, *cfg) })
	run.Await(t, "it is ready", nodetest.Ready)
	return run, dir
}

// Nobody commits, and the node says all the same that its files are not the ones that others find.
func TestAnIdlePrimaryNoticesThatItsFileIsGone(t *testing.T) {
	a, dir := onRealDisk(t)
	must(t, os.Rename(filepath.Join(dir, "Data.fs"), filepath.Join(dir, "moved")))
	a.Unready(t, "the file was renamed or removed while this server had it open")
}

func TestAnIdleNodeNoticesAnotherBlobDirectory(t *testing.T) {
	a, dir := onRealDisk(t)
	blobs := filepath.Join(dir, "blobs")
	must(t, os.Rename(blobs, blobs+".away"), os.CopyFS(blobs, os.DirFS(blobs+".away")))
	a.Unready(t, "was replaced")
	must(t, os.Rename(blobs, blobs+".copy"), os.Rename(blobs+".away", blobs))
	a.Await(t, "it is ready again", func(st *admin.Status) bool { return st.Ready && len(st.Troubles) == 0 })
}

func TestAnIdleNodeWritesItsStateAgain(t *testing.T) {
	a, dir := onRealDisk(t)
	saved := filepath.Join(dir, "Data.fs"+state.Suffix)
	data := strings.TrimSuffix(saved, state.Suffix)
	before, err := state.Load(vfs.OS{}, data)
	must(t, err, os.Remove(saved))
	a.Await(t, "it is there again", func(*admin.Status) bool { _, err := os.Stat(saved); return err == nil })
	now, err := state.Load(vfs.OS{}, data)
	must(t, err)
	if now.StorageID != before.StorageID || now.Node != before.Node || now.Copied {
		t.Errorf("wrote %+v, which was %+v", now, before)
	}
}

// A secondary ends as it does when a transaction finds out.
func TestAnIdleSecondaryEndsWhenItsFileIsGone(t *testing.T) {
	from := newSite(t, nodetest.DiskWith(t, 3))
	p := from.primary(t)
	p.Await(t, "it is ready", nodetest.Ready)
	s := newSite(t, vfs.OS{})
	path := filepath.Join(t.TempDir(), "Data.fs")
	r := s.run(t, func(ctx context.Context) error {
		cfg := s.secondaryConfig(from)
		cfg.Data = path
		return runSecondary(ctx, cfg)
	})
	r.Await(t, "it follows", nodetest.Ready)
	must(t, os.Remove(path))
	err := <-r.Ended
	r.Ended <- nil
	if err == nil || !strings.Contains(err.Error(), "renamed or removed") {
		t.Errorf("ended by %v", err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
