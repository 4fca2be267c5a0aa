package archive

import (
	"context"
	"errors"
	"io"
)

// ErrReplaced says that a pack has put another file in place of the one that is read from a node.
var ErrReplaced = errors.New("the node's data file was replaced meanwhile, as by a pack: begin anew")

// A SteadyFile is the data file of a node as it was when it was opened, to its last transaction of then, read over as
// many connections as it takes: a node ends each one after a while. It is for one goroutine at a time.
type SteadyFile struct {
	ctx  context.Context // of the one call that reads it
	file File
	end  int64
}

// SteadyFile opens the data file as it is now, for as long as ctx lasts.
func (r *Remote) SteadyFile(ctx context.Context) (*SteadyFile, error) {
	f, err := r.File(ctx)
	if err != nil {
		return nil, err
	}
	return &SteadyFile{ctx, f, f.End()}, nil
}

// End is after its last transaction.
func (f *SteadyFile) End() int64 { return f.end }

// ReadAt is io.ReaderAt. ErrReplaced: the rest is not to be had any more.
func (f *SteadyFile) ReadAt(b []byte, pos int64) (n int, err error) {
	want := b[:max(min(int64(len(b)), f.end-pos), 0)]
	for again := false; ; again = true {
		n, err = f.file.ReadAt(want, pos)
		if err == nil || again || f.ctx.Err() != nil {
			break
		}
		current, failed := f.file.Renew(f.ctx)
		if failed != nil {
			return n, errors.Join(err, failed)
		}
		if !current {
			return n, ErrReplaced
		}
	}
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}
