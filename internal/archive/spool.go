package archive

import (
	"crypto/sha256"
	"io"
	"os"

	"filippo.io/age"
)

// A spool is content in a temporary file that has no name any more.
type spool struct {
	*os.File
	size int64
}

func (s *spool) Size() int64 { return s.size }

// newSpool returns what write writes. The caller closes it.
func newSpool(write func(io.Writer) error) (*spool, error) {
	f, err := os.CreateTemp("", "zrsd-archive-*")
	if err != nil {
		return nil, err
	}
	s := &spool{File: f}
	if err = os.Remove(f.Name()); err == nil {
		err = write(f)
	}
	if err == nil {
		s.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		_ = f.Close() // it has no name
		return nil, err
	}
	return s, nil
}

// encrypted returns the digest of a blob, and the blob as it is stored.
func (p *packer) encrypted(b Blob) (d Digest, content Blob, err error) {
	sum := sha256.New()
	s, err := newSpool(func(f io.Writer) error {
		w, err := age.Encrypt(f, p.keys.Recipients...)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(b, 0, b.Size())); err != nil {
			return err
		}
		return w.Close()
	})
	if err != nil {
		return d, nil, err
	}
	return Digest(sum.Sum(nil)), s, nil
}
