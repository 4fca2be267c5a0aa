package filestorage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
)

// QuarantineFolder is the name of the folder beside a Data.fs where damaged bytes are kept that a repair has replaced.
const QuarantineFolder = "quarantine"

// A Quarantined is what the reason file in the quarantine folder says of the bytes beside it.
type Quarantined struct {
	Time   time.Time         `json:"time"`
	File   string            `json:"file"`   // that was damaged
	Offset int64             `json:"offset"` // of the first part
	Length int64             `json:"length"` // of all parts
	Parts  []QuarantinedPart `json:"parts"`
	Bytes  string            `json:"bytes"` // the file with what was there: the parts, one after the other
	Damage
}

// A QuarantinedPart is a part of the file that was replaced.
type QuarantinedPart struct {
	Offset     int64 `json:"offset"`
	Length     int64 `json:"length"`
	Unreadable bool  `json:"unreadable"` // the disk did not give all of it: zeros stand for the rest
}

// quarantineFolder makes the folder beside the Data.fs at path, durably.
func quarantineFolder(disk vfs.FS, path string) (string, error) {
	folder := filepath.Join(filepath.Dir(path), QuarantineFolder)
	if err := disk.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return folder, disk.SyncDir(filepath.Dir(path))
}

// quarantineName is what the names of the files about one repair begin with.
func quarantineName(path string, now time.Time) string {
	return filepath.Base(path) + "." + now.UTC().Format("20060102T150405.000000")
}

// quarantine keeps the bytes that p replaces, with the reason, durably, and returns where.
func (m *mender) quarantine(r *Repair, p *repairPlan) (kept string, err error) {
	q := Quarantined{Damage: r.Damage, File: m.path, Offset: p.parts[0].Pos}
	for i := range p.parts {
		part := &p.parts[i]
		q.Length += int64(len(part.was))
		q.Parts = append(q.Parts, QuarantinedPart{part.Pos, int64(len(part.was)), !part.readable})
	}
	return q.keep(m.fs, m.path, m.now(), func(f vfs.File) error {
		at := int64(0)
		for i := range p.parts {
			if _, err := f.WriteAt(p.parts[i].was, at); err != nil {
				return err
			}
			at += int64(len(p.parts[i].was))
		}
		return nil
	})
}

// keep writes the two files, beside the Data.fs at path.
func (q *Quarantined) keep(disk vfs.FS, path string, now time.Time, write func(vfs.File) error) (string, error) {
	folder, err := quarantineFolder(disk, path)
	if err != nil {
		return "", err
	}
	name, err := freeName(disk, folder, quarantineName(path, now))
	if err != nil {
		return "", err
	}
	kept := filepath.Join(folder, name+".bytes")
	if err := vfs.WriteNewFile(disk, kept, write); err != nil {
		return "", errors.Join(err, vfs.RemoveIfThere(disk, kept))
	}
	q.Time, q.Bytes = now.UTC(), filepath.Base(kept)
	text, err := json.MarshalIndent(q, "", "  ")
	if err != nil {
		return "", err
	}
	err = vfs.WriteFileAtomic(disk, filepath.Join(folder, name+".json"), ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(text, '\n'), 0)
		return err
	})
	return kept, err
}

// freeName returns name, or name with a number: two repairs may be of one moment.
func freeName(disk vfs.FS, folder, name string) (string, error) {
	for n := 0; ; n++ {
		free := name
		if n > 0 {
			free = fmt.Sprintf("%s.%d", name, n)
		}
		_, err := disk.Stat(filepath.Join(folder, free+".bytes"))
		if errors.Is(err, fs.ErrNotExist) {
			return free, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// copyDamaged copies a file as far as the disk gives it. What it does not give is zero, and noted in q.
func (q *Quarantined) copyDamaged(to vfs.File, from vfs.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	q.Length = info.Size()
	buf := make([]byte, scanBuf)
	part := QuarantinedPart{Length: q.Length}
	for at := int64(0); at < q.Length; {
		b := buf[:min(int64(len(buf)), q.Length-at)]
		if !readSectors(from, b, at) {
			part.Unreadable = true
		}
		if _, err := to.WriteAt(b, at); err != nil {
			return err
		}
		at += int64(len(b))
	}
	q.Parts = []QuarantinedPart{part}
	return nil
}
