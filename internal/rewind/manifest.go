package rewind

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A Manifest lists what is in a fragment. It is the JSON document beside it.
type Manifest struct {
	Storage      string        `json:"storage"` // storage id
	Last         zodb.Tid      `json:"last"`    // the last common transaction
	Transactions []Transaction `json:"transactions"`
}

// A Transaction is one of a fragment. Bytes that are no UTF-8 are replaced in its texts.
type Transaction struct {
	Tid         zodb.Tid  `json:"tid"`
	Time        time.Time `json:"time"`
	User        string    `json:"user"`
	Description string    `json:"description"`
	Objects     []Object  `json:"objects"`
}

// An Object is a record of a transaction.
type Object struct {
	Oid   zodb.Oid `json:"oid"`
	Class string   `json:"class,omitempty"` // module.name; empty where the record does not say it plainly
	Size  int64    `json:"size"`            // bytes of the record, -1 for a deletion
	Blob  bool     `json:"blob,omitempty"`
	Base  zodb.Tid `json:"base"` // the revision that it replaced; 0: it was new
	// Path leads from the root to it, where somebody looked for that; empty where none does.
	Path *string `json:"path,omitempty"`
}

// maxManifest bounds what is read of a manifest, in bytes.
const maxManifest = 1 << 30

// ReadManifest reads the manifest at path. The error wraps fs.ErrNotExist when there is none.
func ReadManifest(disk vfs.FS, path string) (_ *Manifest, err error) {
	f, err := disk.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m := new(Manifest)
	if err := json.NewDecoder(io.NewSectionReader(f, 0, maxManifest)).Decode(m); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return m, nil
}

// isOf reports whether the fragment is that of a rewinding.
func (m *Manifest) isOf(storageID string, plan *state.Rewind) bool {
	n := len(m.Transactions)
	return m.Storage == storageID && m.Last == plan.Last && n > 0 &&
		m.Transactions[0].Tid == plan.First && m.Transactions[n-1].Tid == plan.Until
}

// write replaces the manifest at path, durably.
func (m *Manifest) write(disk vfs.FS, path string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(text, '\n'), 0)
		return err
	})
}
