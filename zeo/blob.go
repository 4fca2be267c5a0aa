package zeo

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// blobChunk is how much of a blob goes into a message, as with the reference server.
const blobChunk = 59_000

// chunkMethod is the call that has a part of a blob. It keeps nothing of its message.
const chunkMethod = "storeBlobChunk"

func (c *client) dropUpload() {
	if c.upload != nil {
		if err := c.upload.Discard(); err != nil {
			c.logger().Warn("removing an unused blob upload failed", "error", err, "warning", warning.CleanupLeft)
		}
		c.keepUpload(nil)
	}
}

func (c *client) keepUpload(u zodb.BlobDraft) {
	c.upload, c.spare = u, nil
	var since *time.Time
	if u != nil {
		since = now()
	}
	c.counters.uploading.Store(since)
}

// A lostUpload is a blob that did not fit on the disk. Its client gets the error at the vote, which fails: this ends
// the transaction only.
type lostUpload struct{ err error }

func (l lostUpload) Write(b []byte) (int, error) { return len(b), nil }

func (l lostUpload) Size() int64 { return 0 }

func (l lostUpload) Discard() error { return nil }

func (l lostUpload) Stage(zodb.Oid, zodb.Tid) (zodb.StagedBlob, error) { return nil, l.err }

func (c *client) blobStart(m *wire.Message, a *arguments) error {
	if err := a.end(); err != nil {
		return err
	}
	if c.upload != nil {
		return raise(classValue, "storeBlobStart within a blob")
	}
	u, err := c.storage.st.NewDraft()
	if errors.Is(err, filestorage.ErrNoBlobs) {
		return err
	}
	if err != nil {
		u = lostUpload{err}
	}
	c.keepUpload(u)
	c.reply(m, nil)
	return nil
}

func (c *client) blobChunk(m *wire.Message, a *arguments) error {
	chunk := a.bytes("chunk")
	if err := a.end(); err != nil {
		return err
	}
	if c.upload == nil {
		return raise(classValue, "storeBlobChunk outside of a blob")
	}
	if _, err := c.upload.Write(chunk); err != nil {
		c.dropUpload()
		c.keepUpload(lostUpload{fmt.Errorf("storing an uploaded blob: %w", err)})
	}
	c.reply(m, nil)
	return nil
}

// storeBlobEnd(oid, serial, record, txn)
func (c *client) blobEnd(m *wire.Message, a *arguments) error {
	oid, serial, record := a.oid(), a.serial("serial"), a.bytes("record")
	return c.buffered(m, a, func(t *transaction) error {
		u := c.upload
		if u == nil {
			return raise(classValue, "storeBlobEnd outside of a blob")
		}
		c.keepUpload(nil)
		c.storage.stats.uploads.Add(1)
		t.given.record(oid, 0)
		return t.StoreBlob(oid, serial, c.storage.packed(record), u)
	})
}

// sharedName is what a client may call a file that it has put into the blob directory.
var sharedName = regexp.MustCompile(`^[^/\\\x00]*\.tmp[^/\\\x00]?$`)

// storeBlobShared(oid, serial, record, file name, txn): the client has put the blob's file beside the object's blobs.
func (c *client) blobShared(m *wire.Message, a *arguments) error {
	oid, serial, record, name := a.oid(), a.serial("serial"), a.bytes("record"), a.text("file name")
	return c.buffered(m, a, func(t *transaction) error {
		if !sharedName.MatchString(name) || filepath.Base(name) != name {
			return raise(classValue, "not a name of a file beside a blob: "+name)
		}
		folders := c.storage.st.BlobFolders(oid)
		if len(folders) == 0 {
			return raise(classValue, "the storage has no blobs")
		}
		u, err := c.storage.adopt(folders, name)
		if errors.Is(err, vfs.ErrNotPlain) || errors.Is(err, fs.ErrNotExist) {
			return errors.Join(raise(classValue, "not a file beside a blob: "+name+" (if the layout of the blob "+
				"directory was converted since this client has started, restart the client)"), err)
		}
		if err != nil {
			u = lostUpload{fmt.Errorf("taking the file %s beside a blob: %w", name, err)}
		}
		t.given.record(oid, 0)
		return t.StoreBlob(oid, serial, c.storage.packed(record), u)
	})
}

// adopt takes a file over that a client has put into one of the folders. A link could make a blob of any file that the
// server may read.
func (s *storage) adopt(folders []string, name string) (u zodb.BlobDraft, err error) {
	for _, folder := range folders {
		u, err = s.st.AdoptDraft(filepath.Join(folder, name))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return u, err
}

// sendBlob(oid, tid) sends the blob in calls of its own, then the answer. It waits for the client to read.
func (c *client) sendBlob(m *wire.Message, a *arguments) error {
	oid, tid := a.oid(), a.tid("tid")
	if err := a.end(); err != nil {
		return err
	}
	f, err := c.storage.openBlob(oid, tid)
	if err != nil && c.storage.st.FetchesBlobs() && !c.storage.hidesBlob(tid) {
		c.sendFetched(m, oid, tid)
		return nil
	}
	if err == nil {
		err = c.storage.blobDamage(f, oid, tid)
	}
	if err != nil {
		return c.sendCorrected(m, oid, tid, err)
	}
	c.background(m, func() (pickle.Value, error) { return nil, c.transfer(f, oid, tid) })
	return nil
}

// sendFetched is sendBlob for one that is not here, where another node or an object store may have it.
func (c *client) sendFetched(m *wire.Message, oid zodb.Oid, tid zodb.Tid) {
	c.background(m, func() (pickle.Value, error) {
		f, err := c.storage.st.FetchBlob(c.ctx, oid, tid)
		if err != nil {
			return nil, err
		}
		return nil, c.transfer(f, oid, tid)
	})
}

// sendCorrected is sendBlob for one that cannot be opened, or is known to be damaged.
func (c *client) sendCorrected(m *wire.Message, oid zodb.Oid, tid zodb.Tid, damage error) error {
	blobs := c.storage.opt.DamagedBlobs
	if blobs == nil || c.storage.hidesBlob(tid) {
		return damage
	}
	began := c.beside(m, func() error {
		f, err := blobs.Open(c.ctx, oid, tid, damage)
		if err == nil {
			err = c.transfer(f, oid, tid)
		}
		if err != nil {
			return c.fail(m, err)
		}
		c.reply(m, nil)
		return nil
	})
	if !began {
		return damage
	}
	return nil
}

// transfer sends a blob that is open. Once begun it must come to its end: a client that got a part of a blob takes it
// for the whole later on.
func (c *client) transfer(f BlobFile, oid zodb.Oid, tid zodb.Tid) error {
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	id := []pickle.Value{oidValue(oid), tidValue(tid)}
	if err := c.stream(wire.Call("receiveBlobStart", id...)); err != nil {
		return err
	}
	chunk := make([]byte, blobChunk)
	for at := int64(0); at < info.Size(); at += blobChunk {
		b := chunk[:min(blobChunk, info.Size()-at)]
		if _, err := f.ReadAt(b, at); err != nil {
			c.logger().Error("reading a blob failed while it was sent", "oid", oid, "tid", tid, "error", err,
				"warning", warning.Damaged)
			c.storage.unreadableBlob(oid, tid, err)
			c.out.close(err)
			return err
		}
		if err := c.stream(wire.Call("receiveBlobChunk", id[0], id[1], pickle.Bytes(b))); err != nil {
			return err
		}
	}
	c.storage.stats.downloads.Add(1)
	return c.stream(wire.Call("receiveBlobStop", id...))
}

// stream sends one of the messages of a blob.
func (c *client) stream(m *wire.Message) (err error) {
	closed := c.out.stream(func(waiting []byte) (with []byte) {
		with, err = c.codec.Append(waiting, m)
		return with
	})
	if err != nil {
		c.out.close(err)
	}
	return errors.Join(err, closed)
}
