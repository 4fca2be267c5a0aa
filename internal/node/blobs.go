package node

import (
	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
)

// A blobDir is the blob directory of a node: its own, that of its primary, or none.
type blobDir struct {
	own    *blobstore.Store
	shared *blobstore.Shared
}

// openBlobs opens the blob directory, if there is to be one.
func (c *Config) openBlobs(readOnly bool) (d blobDir, err error) {
	switch {
	case c.Blobs == "":
		return d, nil
	case c.SharedBlobs:
		d.shared, err = blobstore.OpenShared(c.Blobs, c.FS)
	default:
		d.own, err = blobstore.Open(c.Blobs, blobstore.Options{FS: c.FS, ReadOnly: readOnly,
			Logger: c.Logger.Named("blobs")})
	}
	if err != nil {
		return d, &StartError{err}
	}
	return d, nil
}

// storage is the directory as a storage needs it.
func (d blobDir) storage() filestorage.Blobs {
	switch {
	case d.own != nil:
		return d.own
	case d.shared != nil:
		return d.shared
	}
	return nil
}

// following is the directory as a secondary verifies it; nil when blobs are sent.
func (d blobDir) following() secondary.SharedBlobs {
	if d.shared == nil {
		return nil
	}
	return d.shared
}

// putToken proves the directory to secondaries that share it; nil when only its owner can.
func (d blobDir) putToken() func() (protocol.Token, func() error, error) {
	if d.own == nil {
		return nil
	}
	return func() (protocol.Token, func() error, error) {
		token, err := d.own.PutToken()
		if err != nil {
			return protocol.Token{}, nil, err
		}
		return protocol.Token{Name: token.Name, Digest: token.Digest}, token.Remove, nil
	}
}
