package filestorage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// The plan of a repair. All numbers are big-endian:
//
//	magic(16) "zrsd heal 1" and zeros
//	parts × offset(8) length(4) readable(1) was(length) is(length)
//	SHA-256(32)  of all before it
//
// was is what the disk had before, as far as it was readable. It tells the file that the plan is about: at each byte
// there is what was, or what is to be.
const (
	repairSuffix   = ".heal.zrsd"
	repairPartHead = 13
	maxPlan        = 16 * MaxRepair // each byte in a part of its own
)

var repairMagic = [16]byte{'z', 'r', 's', 'd', ' ', 'h', 'e', 'a', 'l', ' ', '1'}

// A repairPart is a part of a file that is replaced.
type repairPart struct {
	Patch
	was      []byte
	readable bool // was is all of what the disk had
}

type repairPlan struct{ parts []repairPart }

// newRepairPlan reads what is to be replaced.
func newRepairPlan(f io.ReaderAt, patches []Patch) *repairPlan {
	p := &repairPlan{}
	for _, patch := range patches {
		part := repairPart{Patch: patch, was: make([]byte, len(patch.Data))}
		part.readable = readSectors(f, part.was, patch.Pos)
		p.parts = append(p.parts, part)
	}
	return p
}

func (p *repairPlan) encode() []byte {
	b := append([]byte(nil), repairMagic[:]...)
	for i := range p.parts {
		part := &p.parts[i]
		b = binary.BigEndian.AppendUint64(b, uint64(part.Pos))
		b = binary.BigEndian.AppendUint32(b, uint32(len(part.Data)))
		readable := byte(0)
		if part.readable {
			readable = 1
		}
		b = append(b, readable)
		b = append(append(b, part.was...), part.Data...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

var errRepairPlan = errors.New("it is damaged, or of another version")

func decodeRepairPlan(b []byte) (*repairPlan, error) {
	body := b[:max(len(b)-sha256.Size, 0)]
	sum := sha256.Sum256(body)
	if len(body) < len(repairMagic) || !bytes.HasPrefix(body, repairMagic[:]) || !bytes.Equal(sum[:], b[len(body):]) {
		return nil, errRepairPlan
	}
	p := &repairPlan{}
	for body = body[len(repairMagic):]; len(body) > 0; {
		if len(body) < repairPartHead {
			return nil, errRepairPlan
		}
		pos, n := int64(binary.BigEndian.Uint64(body)), int64(binary.BigEndian.Uint32(body[8:]))
		readable := body[12] == 1
		body = body[repairPartHead:]
		if pos < 0 || n == 0 || int64(len(body)) < 2*n {
			return nil, errRepairPlan
		}
		p.parts = append(p.parts, repairPart{Patch{pos, body[n : 2*n]}, body[:n], readable})
		body = body[2*n:]
	}
	return p, nil
}

// save makes the plan durable.
func (p *repairPlan) save(disk vfs.FS, path string) error {
	return vfs.WriteFileAtomic(disk, path+repairSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(p.encode(), 0)
		return err
	})
}

// execute writes the parts to their places, durably, and then removes the plan. It has an open file of its own: an
// error of the disk is told to each open file once, and that of a commit must not be told to a repair.
func (p *repairPlan) execute(disk vfs.FS, path string, like vfs.File) (err error) {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	is, err := f.Stat()
	if err != nil {
		return err
	}
	was, err := like.Stat()
	if err != nil {
		return err
	}
	if !vfs.SameFile(is, was) {
		return fmt.Errorf("another file was put in the place of %s", path)
	}
	for i := range p.parts {
		if _, err := f.WriteAt(p.parts[i].Data, p.parts[i].Pos); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := disk.Remove(path + repairSuffix); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// fits reports whether the plan is about this file: a repair of it was interrupted.
func (p *repairPlan) fits(f vfs.File) bool {
	for i := range p.parts {
		part := &p.parts[i]
		now := make([]byte, len(part.Data))
		if !readSectors(f, now, part.Pos) || !part.readable {
			continue // nothing is known of it
		}
		for j, b := range now {
			if b != part.was[j] && b != part.Data[j] {
				return false
			}
		}
	}
	info, err := f.Stat()
	return err == nil && len(p.parts) > 0 && p.parts[len(p.parts)-1].End() <= info.Size()
}

// finishRepair finishes a repair of f, the file at path, that was interrupted. A plan that is about another file is
// put aside.
func finishRepair(disk vfs.FS, path string, f vfs.File, now time.Time, log hclog.Logger) error {
	b, err := vfs.ReadFile(disk, path+repairSuffix, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, vfs.ErrTooLong) {
		return putPlanAside(disk, path, now, log, err)
	}
	if err != nil {
		return fmt.Errorf("read the plan of a repair: %w", err)
	}
	p, err := decodeRepairPlan(b)
	if err == nil && !p.fits(f) {
		err = errors.New("it is about another file: something has replaced the Data.fs since")
	}
	if err != nil {
		return putPlanAside(disk, path, now, log, err)
	}
	if err := p.execute(disk, path, f); err != nil {
		return fmt.Errorf("finish the repair of %s that was interrupted: %w", path, err)
	}
	log.Info("finished a repair of the data file that was interrupted", "file", path, "parts", len(p.parts))
	return nil
}

// putPlanAside moves a plan that cannot be executed into the quarantine folder.
func putPlanAside(disk vfs.FS, path string, now time.Time, log hclog.Logger, why error) error {
	folder, err := quarantineFolder(disk, path)
	if err != nil {
		return err
	}
	to := filepath.Join(folder, quarantineName(path, now)+".plan")
	if err := disk.Rename(path+repairSuffix, to); err != nil {
		return fmt.Errorf("put the plan of a repair aside (%w): %w", why, err)
	}
	log.Warn("the plan of a repair was put aside", "file", path, "reason", why, "kept_in", to,
		"warning", warning.Damaged)
	return errors.Join(disk.SyncDir(folder), disk.SyncDir(filepath.Dir(path)))
}
