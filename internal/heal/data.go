package heal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// firstTransaction is the offset of the first one.
const firstTransaction = 4

// data heals a part of the data file.
func (h *healer) data(ctx context.Context, s *verify.Suspect, item *Item) error {
	if h.opt.Committed != nil {
		within := *s
		within.To = min(s.To, h.opt.Committed()) // a sector may have more
		s = &within
	}
	start, before, err := h.begins(ctx, s)
	if err != nil {
		return err
	}
	if h.sound(ctx, start, s) {
		item.Result = Sound
		return nil
	}
	return h.each(ctx, func(ctx context.Context, p Peer, c *connected) error {
		err := h.byRanges(ctx, p, c, start, before, s, item)
		if c.other != nil || !elsewhere(err) {
			return err
		}
		if !c.remote.Data() {
			return fmt.Errorf("%w; and it does not give single records: it may be of an older version", err)
		}
		if e := h.byRecords(ctx, p, c, start, s, item); e != nil {
			return fmt.Errorf("%w; and by single records: %w", err, e)
		}
		return nil
	})
}

// elsewhere reports whether an error may come from a file that has its transactions at other offsets.
func elsewhere(err error) bool {
	var other *OtherHistoryError
	var damaged *PeerDamagedError
	return errors.As(err, &other) || errors.As(err, &damaged)
}

// byRanges heals a part of the file with what a node has at the same offsets; transaction before ends at start.
func (h *healer) byRanges(ctx context.Context, p Peer, c *connected, start int64, before zodb.Tid, s *verify.Suspect,
	item *Item) error {
	f, err := h.openRemote(ctx, c.remote, p.Name, before, start)
	if err != nil {
		return err
	}
	f.while(ctx)
	defer f.Close() //nolint:errcheck // it was only read
	return h.from(ctx, f, p, c, start, s, item)
}

// begins returns where the transactions begin that are looked at, and the tid of the one before them.
func (h *healer) begins(ctx context.Context, s *verify.Suspect) (start int64, before zodb.Tid, err error) {
	start = max(s.Start, firstTransaction)
	if s.Start == 0 && s.From > firstTransaction && h.opt.Boundary != nil {
		if start, err = h.opt.Boundary(ctx, s.From); err != nil {
			return 0, 0, err
		}
	}
	if start == firstTransaction {
		return start, 0, nil
	}
	in, err := filestorage.Inspect(h.opt.FS, h.opt.Path)
	if err != nil {
		return firstTransaction, 0, nil // its magic is damaged: all that can be known of the place
	}
	defer in.Close() //nolint:errcheck // only read
	txn, err := in.Before(start)
	return start, txn.Meta.Tid, err
}

// sound reports whether it is proved that nothing is wrong in the file as it is.
func (h *healer) sound(ctx context.Context, start int64, s *verify.Suspect) bool {
	from, to, err := ends(ctx, h.opt.FS, h.opt.Path, start, s)
	if err != nil || h.copy.Prove(ctx, nil, from, to) != nil {
		return false
	}
	h.proved(from, to, nil)
	return true
}

// ends follows transactions from start to the end of a suspect, in a file on disk. It begins at 0 where the magic is
// suspect.
func ends(ctx context.Context, disk vfs.FS, path string, start int64, s *verify.Suspect) (from, to int64, err error) {
	in, err := filestorage.Inspect(disk, path)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close() //nolint:errcheck // only read
	in.SkipTo(start)
	for to = start; to < s.To || to == start; {
		txn, err := in.Next()
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return 0, 0, err
		}
		to = txn.End()
	}
	if s.From < firstTransaction {
		start = 0
	}
	return start, to, nil
}

// from heals a part of the file with what one node has.
func (h *healer) from(ctx context.Context, f *remoteFile, p Peer, c *connected, start int64, s *verify.Suspect,
	item *Item) error {
	disk := &remoteDisk{FS: h.opt.FS, file: f}
	from, to, err := ends(ctx, disk, h.opt.Path, start, s)
	if err != nil {
		return h.blame(p, c, start, err)
	}
	patches, err := h.proven(ctx, f, from, to)
	if unproved(err) {
		// Something else may be damaged between the same two checkpoints.
		lo, hi, known, e := h.copy.Span(ctx, disk, max(from, firstTransaction), to)
		if e == nil && known && (lo < from || hi > to) {
			from, to = min(lo, from), hi
			patches, err = h.proven(ctx, f, from, to)
		}
	}
	if err != nil {
		return h.blame(p, c, start, err)
	}
	return h.replace(ctx, p, filestorage.Part{From: from, To: to}, patches, start, s, item)
}

// replace has the patches, which were proved, take their places in a part of the file.
func (h *healer) replace(ctx context.Context, p Peer, part filestorage.Part, patches []filestorage.Patch, start int64,
	s *verify.Suspect, item *Item) error {
	if len(patches) == 0 && h.sound(ctx, start, s) { // it was healed meanwhile
		item.Result = Sound
		return nil
	}
	if len(patches) == 0 {
		return &PeerDamagedError{Peer: p.Name, Pos: start}
	}
	for i := range patches {
		item.Length += int64(len(patches[i].Data))
	}
	item.Offset = patches[0].Pos
	h.proved(part.From, part.To, patches)
	if !h.opt.Dry {
		err := h.opt.Target.Repair(ctx, &filestorage.Repair{From: part.From, To: part.To, Patches: patches,
			Damage: filestorage.Damage{Tid: s.Tid, Oid: s.Oid, Found: s.Found, By: h.opt.By, Peer: p.Name}})
		if err == nil {
			err = h.copy.Repaired(patches)
		}
		if err != nil {
			return err
		}
	}
	h.healed(item, p.Name, 1)
	return nil
}

// proven returns what is different in [from, to), if it is proved that the file with it is what it was.
func (h *healer) proven(ctx context.Context, f *remoteFile, from, to int64) ([]filestorage.Patch, error) {
	patches, err := h.differences(ctx, f, from, to)
	if err != nil || len(patches) == 0 {
		return nil, err
	}
	return patches, h.copy.Prove(ctx, patches, from, to)
}

// unproved reports whether an error says that the bytes are not the right ones, or that something near them is not.
func unproved(err error) bool {
	var corrupt *zodb.CorruptError
	var mismatch *verify.MismatchError
	return errors.As(err, &corrupt) || errors.As(err, &mismatch)
}

// blame says of a node whose bytes are not the right ones why that is.
func (h *healer) blame(p Peer, c *connected, pos int64, err error) error {
	switch {
	case c.other != nil && (unproved(err) || errors.Is(err, verify.ErrNoEvidence)):
		return c.other
	case !unproved(err):
		return err
	}
	return &PeerDamagedError{Peer: p.Name, Pos: pos, Err: err}
}

// nearGap is how many bytes that are the same may be between two differences of one patch.
const nearGap = 16

// differences returns what a node has in [from, to) that is not here.
func (h *healer) differences(ctx context.Context, f *remoteFile, from, to int64) (patches []filestorage.Patch,
	err error) {
	mine, err := h.opt.FS.OpenFile(h.opt.Path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer mine.Close() //nolint:errcheck // only read
	here, there := make([]byte, partLen), make([]byte, partLen)
	total := 0
	for at := from; at < to; {
		n := min(partLen-at%partLen, to-at)
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if _, err := f.ReadAt(there[:n], at); err != nil {
			return nil, err
		}
		found := differ(mine, here[:n], there[:n], at)
		for _, p := range found {
			if total += len(p.Data); total > filestorage.MaxRepair {
				return nil, errTooDifferent(from)
			}
		}
		patches = append(patches, found...)
		at += n
	}
	return patches, nil
}

// sectorLen is how much of a file that cannot be read is replaced at a time.
const sectorLen = 4 << 10

// differ compares a part of a file with what it has to be, by sectors where the disk does not give all of it.
func differ(mine io.ReaderAt, here, there []byte, at int64) (patches []filestorage.Patch) {
	if n, _ := mine.ReadAt(here, at); n == len(here) {
		return unequal(nil, here, there, at)
	}
	for len(there) > 0 {
		n := min(sectorLen-at%sectorLen, int64(len(there)))
		if got, _ := mine.ReadAt(here[:n], at); int64(got) < n {
			patches = append(patches, filestorage.Patch{Pos: at, Data: bytes.Clone(there[:n])})
		} else {
			patches = unequal(patches, here[:n], there[:n], at)
		}
		there, at = there[n:], at+n
	}
	return patches
}

// unequal appends the bytes that are different.
func unequal(patches []filestorage.Patch, here, there []byte, at int64) []filestorage.Patch {
	if bytes.Equal(here, there) {
		return patches
	}
	for i := 0; i < len(here); i++ {
		if here[i] == there[i] {
			continue
		}
		end := i + 1
		for j := end; j < len(here) && j < end+nearGap; j++ {
			if here[j] != there[j] {
				end = j + 1
			}
		}
		patches = append(patches, filestorage.Patch{Pos: at + int64(i), Data: bytes.Clone(there[i:end])})
		i = end
	}
	return patches
}
