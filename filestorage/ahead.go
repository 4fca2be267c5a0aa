package filestorage

import "github.com/zrsd/zrsd/internal/vfs"

// An ahead is a file for one reader who asks at mostly rising offsets. Where a question is close after the one before
// it, as among records of one time, much is read at once; where not, only what is asked for.
type ahead struct {
	vfs.File
	end int64  // nothing after it is read ahead
	at  int64  // offset of buf
	buf []byte // what was read ahead
}

// aheadGap is how far behind the last question one still counts as close.
const aheadGap = 32 << 10

func (f *ahead) ReadAt(b []byte, off int64) (int, error) {
	behind := f.at + int64(len(f.buf))
	last := off + int64(len(b))
	switch {
	case off >= f.at && last <= behind:
		return copy(b, f.buf[off-f.at:]), nil
	case off < f.at || off > behind+aheadGap || len(b) > windowLen/2 || f.end-off < int64(len(b)):
		f.at, f.buf = last, f.buf[:0]
		return f.File.ReadAt(b, off)
	}
	if cap(f.buf) == 0 {
		f.buf = make([]byte, windowLen)
	}
	f.at, f.buf = off, f.buf[:min(windowLen, f.end-off)]
	if _, err := f.File.ReadAt(f.buf, off); err != nil {
		f.buf = f.buf[:0]
		return 0, err
	}
	return copy(b, f.buf), nil
}
