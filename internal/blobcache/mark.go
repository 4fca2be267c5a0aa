package blobcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A mark says up to which transaction an object store has all blobs. It is a hint: without it they are looked for
// again.
type mark struct {
	store    string
	uploaded zodb.Tid
}

type markFile struct {
	Store    string `json:"store"`
	Uploaded string `json:"uploaded"` // 16 hexadecimal digits
}

const (
	markSuffix = ".blobstore.zrsd"
	maxMark    = 1 << 16
)

func (u *Uploader) loadMark() mark {
	m := mark{store: u.opt.Objects.Store.String()}
	text, err := vfs.ReadFile(u.opt.FS, u.opt.Data+markSuffix, maxMark)
	if errors.Is(err, fs.ErrNotExist) {
		return m
	}
	var f markFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	var tid zodb.Tid
	if err == nil {
		tid, err = zodb.ParseTid(f.Uploaded)
	}
	if err != nil {
		u.opt.Logger.Info("the file that says what was uploaded cannot be read; all blobs are looked for again",
			"path", u.opt.Data+markSuffix, "error", err)
		return m
	}
	if f.Store == m.store {
		m.uploaded = tid
	}
	return m
}

func (u *Uploader) saveMark() error {
	u.mu.Lock()
	m := u.mark
	u.mu.Unlock()
	if m.uploaded == 0 {
		return nil
	}
	text, err := json.Marshal(markFile{m.store, m.uploaded.String()})
	if err != nil {
		return fmt.Errorf("note what was uploaded: %w", err)
	}
	return vfs.WriteFileAtomic(u.opt.FS, u.opt.Data+markSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(text, '\n'), 0)
		return err
	})
}
