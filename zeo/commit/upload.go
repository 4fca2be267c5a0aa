package commit

import "io"

// An Upload is the content of a blob that a client is sending. It is for one goroutine.
type Upload struct{ f *file }

// NewUpload begins an upload; dir is where its file lives, best on the disk of the blobs.
func NewUpload(dir string) (*Upload, error) {
	f, err := newFile(dir)
	if err != nil {
		return nil, err
	}
	return &Upload{f}, nil
}

// Write appends a chunk.
func (u *Upload) Write(chunk []byte) (int, error) { return u.f.Write(chunk) }

// Size is the number of bytes so far.
func (u *Upload) Size() int64 { return u.f.size }

// Close drops the upload, unless a transaction has taken it.
func (u *Upload) Close() error { return u.f.close() }

func (u *Upload) content() io.Reader { return u.f.section(0, u.f.size) }
