package repozo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
)

// RecoverOptions say what to restore.
type RecoverOptions struct {
	FS     vfs.FS // nil: the real disk
	Dir    string
	Date   string               // UTC, as YYYY-MM-DD-HH-MM-SS or the beginning of it; "": now
	Output string               // the Data.fs; "": Writer
	Writer io.Writer            // without Output
	Verify bool                 // compare with the .dat file on the way
	Log    func(string, ...any) // may be nil
}

// CheckDate is an error for what is no date.
func CheckDate(date string) error {
	if date != "" && !dateForm.MatchString(date) {
		return fmt.Errorf("%q is no date: give YYYY-MM-DD[-HH[-MM[-SS]]], in UTC", date)
	}
	return nil
}

// Recover restores the Data.fs of a date. What Output had before stays until the new one is complete.
func Recover(ctx context.Context, opt RecoverOptions) error {
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	r := &repository{vfs.OrOS(opt.FS), opt.Dir}
	list, err := r.chain(opt.Date)
	if err != nil {
		return err
	}
	for _, p := range list {
		opt.Log("needed: %s", r.path(p.name))
	}
	if opt.Output == "" {
		return r.concat(ctx, list, &opt, opt.Writer)
	}
	part := opt.Output + ".part"
	err = vfs.WriteNewFile(r.disk, part, func(f vfs.File) error {
		return r.concat(ctx, list, &opt, &sequential{f: f})
	})
	if err != nil {
		return fmt.Errorf("restore %s, of which %s has a part: %w", opt.Output, part, err)
	}
	if err := r.place(list[len(list)-1], part, opt.Output); err != nil {
		return fmt.Errorf("the restored Data.fs is complete as %s and has not got its name: %w", part, err)
	}
	return nil
}

// concat writes pieces one after the other.
func (r *repository) concat(ctx context.Context, list []*piece, opt *RecoverOptions, out io.Writer) error {
	var total int64
	for _, p := range list {
		f, err := r.open(p)
		if err != nil {
			return err
		}
		size, checksum, err := sum(ctx, f, out)
		if err = errors.Join(r.damaged(p, err), f.Close()); err != nil {
			return err
		}
		switch {
		case p.line != nil && p.line.begin != total:
			return &VerifyError{r.path(p.name), fmt.Sprintf("it begins at %d, and what is before it ends at %d: a "+
				"file is missing", p.line.begin, total)}
		case opt.Verify && p.line == nil:
			return &VerifyError{r.path(p.name), "the .dat file has no line of it"}
		case opt.Verify:
			if err := r.compare(p.line, size, checksum); err != nil {
				return err
			}
		}
		total += size
		opt.Log("Recovered chunk %s : %d bytes, md5: %s", r.path(p.name), size, checksum)
	}
	opt.Log("Recovered a total of %d bytes", total)
	return nil
}

// place gives a restored file its name, and then its index. It is never beside the index of another one.
func (r *repository) place(last *piece, part, output string) error {
	index := output + ".index"
	folder := filepath.Dir(output)
	err := vfs.RemoveIfThere(r.disk, index)
	if err == nil {
		err = r.disk.SyncDir(folder)
	}
	if err == nil {
		err = r.disk.Rename(part, output)
	}
	if err == nil {
		err = r.disk.SyncDir(folder)
	}
	if err != nil {
		return err
	}
	saved, err := vfs.OpenPlain(r.disk, r.path(last.stem()+".index"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the first start makes it
	}
	if err != nil {
		return err
	}
	defer saved.Close() //nolint:errcheck // only read
	return vfs.WriteFileAtomic(r.disk, index, ".tmp", func(f vfs.File) error {
		_, err := io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(saved, 0, math.MaxInt64))
		return err
	})
}
