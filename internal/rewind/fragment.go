package rewind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A Fragment is where the transactions are that were taken out of a storage.
type Fragment struct {
	Data     string `json:"data"` // a FileStorage
	Blobs    string `json:"blobs"`
	Manifest string `json:"manifest"`
}

// FragmentOf returns the paths of the fragment of the storage at dataPath that begins with the transaction first.
func FragmentOf(dataPath string, first zodb.Tid) Fragment {
	return nthFragment(dataPath, first, 1)
}

// nthFragment is FragmentOf where others that begin with the same transaction were set aside before.
func nthFragment(dataPath string, first zodb.Tid, n int) Fragment {
	base := dataPath + ".rewound-" + first.String()
	if n > 1 {
		base += fmt.Sprintf("-%d", n)
	}
	return Fragment{base + ".fs", base + ".blobs", base + ".json"}
}

// maxFragments is how many fragments that begin with one transaction are kept apart.
const maxFragments = 1000

// free returns the number of the first fragment whose names are free: earlier fragments stay.
func (s *Storage) free(first zodb.Tid) (int, error) {
	for n := 1; n <= maxFragments; n++ {
		f := nthFragment(s.Data, first, n)
		taken := false
		for _, path := range []string{f.Data, f.Blobs, f.Manifest} {
			switch _, err := s.FS.Stat(path); {
			case err == nil:
				taken = true
			case !errors.Is(err, fs.ErrNotExist):
				return 0, fmt.Errorf("looking for a place to set transactions aside: %w", err)
			}
		}
		if !taken {
			return n, nil
		}
	}
	return 0, fmt.Errorf("there are already %d fragments beginning with %v beside %s: move them away", maxFragments,
		first, s.Data)
}

// clear removes what an interrupted attempt has left.
func (f *Fragment) clear(disk vfs.FS) error {
	for _, suffix := range []string{"", ".index", ".lock"} {
		if err := vfs.RemoveIfThere(disk, f.Data+suffix); err != nil {
			return err
		}
	}
	return removeAll(disk, f.Blobs)
}

// removeAll removes a folder with all that is in it.
func removeAll(disk vfs.FS, path string) error {
	entries, err := disk.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if e.IsDir() {
			err = errors.Join(err, removeAll(disk, name))
		} else {
			err = errors.Join(err, disk.Remove(name))
		}
	}
	return errors.Join(err, disk.Remove(path))
}

// build makes the fragment of everything in st after last, and its manifest when the rest is durable.
func (f *Fragment) build(ctx context.Context, disk vfs.FS, st *filestorage.Storage, storageID string,
	last zodb.Tid) (err error) {
	if err := f.clear(disk); err != nil {
		return err
	}
	opt := filestorage.Options{FS: disk, Magic: st.Magic()}
	if st.HasBlobs() {
		blobs, err := blobstore.Open(f.Blobs, blobstore.Options{FS: disk})
		if err != nil {
			return err
		}
		opt.Blobs = blobs
	}
	out, err := filestorage.Open(ctx, f.Data, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	m := &Manifest{Storage: storageID, Last: last, Transactions: []Transaction{}}
	var done *filestorage.Commit
	for txn, err := range st.Transactions(ctx, last) {
		if err != nil {
			return err
		}
		listed, commit, err := move(ctx, st, out, txn)
		if err != nil {
			return fmt.Errorf("transaction %v: %w", txn.Meta().Tid, err)
		}
		m.Transactions, done = append(m.Transactions, *listed), commit
	}
	if done != nil {
		<-done.Done()
		if err := done.Err(); err != nil {
			return err
		}
	}
	return m.write(disk, f.Manifest)
}

// move writes one transaction into the fragment.
func move(ctx context.Context, st, out *filestorage.Storage, in zodb.Transaction) (*Transaction, *filestorage.Commit,
	error) {
	meta := in.Meta()
	listed := &Transaction{
		Tid: meta.Tid, Time: meta.Tid.Time().UTC(), User: readable(meta.User), Description: readable(meta.Description),
		Objects: []Object{},
	}
	txn, err := out.Begin(ctx, meta)
	if err != nil {
		return nil, nil, err
	}
	for rec, err := range zodb.Records(in) {
		var o *Object
		if err == nil {
			o, err = moveRecord(st, txn, rec)
		}
		if err != nil {
			return nil, nil, errors.Join(err, txn.Abort())
		}
		listed.Objects = append(listed.Objects, *o)
	}
	commit, err := txn.Enqueue(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, txn.Abort())
	}
	return listed, commit, nil
}

func moveRecord(st *filestorage.Storage, txn *filestorage.Txn, rec *zodb.Record) (*Object, error) {
	base, err := st.Predecessor(rec.Oid, rec.Tid)
	if err != nil {
		return nil, err
	}
	o := &Object{Oid: rec.Oid, Size: rec.Size, Blob: rec.Blob != nil, Base: base}
	if rec.Data != nil && rec.Size >= 0 {
		head, err := io.ReadAll(io.LimitReader(rec.Data, record.HeadLen))
		if err != nil {
			return nil, err
		}
		o.Class = record.ClassOf(head)
		rec.Data = io.MultiReader(bytes.NewReader(head), rec.Data)
	}
	return o, txn.Restore(rec)
}

func readable(b []byte) string { return strings.ToValidUTF8(string(b), string(utf8.RuneError)) }
