package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// MaxRepair is how many bytes one repair may write.
const MaxRepair = 64 << 20

var errRepairSize = errors.New("too much, or nothing, for one repair")

// A Repair says what the transactions in [From, To) of a Data.fs are to be, where they are not: damage on the disk is
// replaced by what another copy of the same history has. Nothing becomes longer or shorter. Whoever makes one has
// proved the bytes; here only their structure is looked at.
type Repair struct {
	From, To int64 // where a transaction begins, or 0 for the magic, too; and where one ends
	Patches  []Patch
	Damage
}

// A Damage is what a repair is about, for who reads the quarantine folder.
type Damage struct {
	Tid   *zodb.Tid `json:"tid"`   // of the first transaction that is damaged; nil: not known
	Oid   *zodb.Oid `json:"oid"`   // of the record; nil: it is about no record, or several
	Found string    `json:"found"` // what is wrong
	By    string    `json:"by"`    // what has found it
	Peer  string    `json:"peer"`  // where the right bytes come from
}

// Repair replaces damaged parts of the Data.fs, which are kept in the quarantine folder beside it, while everything
// else goes on. Its steps, and what a crash after each leaves:
//
//	1  check the structure as it would be                  as it was
//	2  write the damaged bytes and a file with the reason
//	   into the quarantine folder, sync them               the same, and the bytes in quarantine
//	3  where records have another oid than before: remove
//	   the saved index, sync the folder                    the same; the next open scans
//	4  write the plan, atomically and durably              the next open finishes the repair
//	5  write the bytes to their places, sync the file      the same
//	6  remove the plan, sync the folder                    the repaired file; or the next open writes the same again
//	7  read the bytes                                      the repaired file
//
// Errors: *zodb.CorruptError about the patched file, ErrPacking, zodb.ErrReadOnly, *FailedError, *DisplacedError,
// *NotKeptError of step 7, and those of the disk. After an error in step 5 the next open finishes the repair.
func (s *Storage) Repair(ctx context.Context, r *Repair) error {
	if err := s.repair(ctx, r); err != nil {
		return fmt.Errorf("repair of %s at %d: %w", s.path, r.From, err)
	}
	return nil
}

func (s *Storage) repair(ctx context.Context, r *Repair) error {
	done, err := s.beginRepair()
	if err != nil {
		return err
	}
	defer done()
	e := s.hold()
	defer e.release()
	m := &mender{fs: s.fs, path: s.path, file: e.file, end: e.size(), now: s.now, log: s.log}
	wrong, err := m.plan(ctx, r)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		s.indexSaver.pause()
		defer s.indexSaver.resume()
		if err := m.removeIndex(); err != nil {
			return err
		}
	}
	if err := m.mend(r); err != nil {
		return err
	}
	s.log.Warn("repaired damage in the data file", "file", s.path, "from", r.From, "to", r.To, "found", r.Found,
		"found_by", r.By, "peer", r.Peer, "kept_in", m.kept, "warning", warning.Damaged)
	if err := e.change(func(c *corrections) error { return c.repaired(Part{r.From, r.To}) }); err != nil {
		return err
	}
	if len(wrong) == 0 {
		return nil
	}
	return s.correctIndex(ctx, e, wrong)
}

// beginRepair keeps packs and other repairs away until done is called.
func (s *Storage) beginRepair() (done func(), err error) {
	if s.readOnly {
		return nil, zodb.ErrReadOnly
	}
	select {
	case s.packing <- struct{}{}:
	default:
		return nil, ErrPacking
	}
	done = func() { <-s.packing }
	select {
	case <-s.closed:
		err = zodb.ErrClosed
	default:
		err = s.checkPath()
	}
	if err == nil {
		err = s.stopped()
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// RepairFile is Storage.Repair for a file that cannot be opened because of the damage. It takes the lock of the
// storage: the error is a *LockError where a server has it. disk nil: the real one.
func RepairFile(ctx context.Context, disk vfs.FS, path string, log hclog.Logger, r *Repair) (err error) {
	disk = vfs.OrOS(disk)
	if log == nil {
		log = hclog.NewNullLogger()
	}
	lock, err := lockFile(disk, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := lock.claim(f); err != nil {
		return err
	}
	if err := finishRepair(disk, path, f, time.Now(), log); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m := &mender{fs: disk, path: path, file: f, end: info.Size(), now: time.Now, log: log}
	if _, err := m.plan(ctx, r); err != nil {
		return fmt.Errorf("repair of %s at %d: %w", path, r.From, err)
	}
	if err := errors.Join(m.removeIndex(), m.mend(r)); err != nil {
		return fmt.Errorf("repair of %s at %d: %w", path, r.From, err)
	}
	log.Warn("repaired damage in the data file", "file", path, "from", r.From, "to", r.To, "found", r.Found,
		"found_by", r.By, "peer", r.Peer, "kept_in", m.kept, "warning", warning.Damaged)
	return nil
}

// A mender does one repair of a file.
type mender struct {
	fs   vfs.FS
	path string
	file vfs.File // for reading
	end  int64    // nothing after it is touched
	now  func() time.Time
	log  hclog.Logger

	kept string // where the damaged bytes are
}

// A relabelled record has got another oid by a repair, or counts only since then.
type relabelled struct {
	pos     int64
	was, is zodb.Oid
}

// plan checks what a repair would make of the file, and returns which records an index that was made of the damaged
// file has wrong.
func (m *mender) plan(ctx context.Context, r *Repair) ([]relabelled, error) {
	if r.From < 0 || r.To > m.end || r.From >= r.To {
		return nil, fmt.Errorf("[%d, %d) is not a part of what is committed, up to %d", r.From, r.To, m.end)
	}
	if err := checkPatches(r.Patches, r.From, r.To); err != nil {
		return nil, err
	}
	c := &repairCheck{m: m, r: r, new: Patched(m.file, r.Patches)}
	if err := c.begins(); err != nil {
		return nil, err
	}
	w := newWalker(ctx, c.new, m.path, max(r.From, magicLen), r.To)
	err := w.each(func() error { return c.transaction(w) })
	return c.wrong, err
}

// A repairCheck looks at the structure of a file as it would be after a repair.
type repairCheck struct {
	m       *mender
	r       *Repair
	new     vfs.File
	wrong   []relabelled
	counted bool // the records of the transaction did not count before
}

// begins checks what is before the first transaction of the repair.
func (c *repairCheck) begins() error {
	if c.r.From <= magicLen {
		var magic zodb.Magic
		if err := readFull(c.new, magic[:], 0); err != nil || magic.Known() && c.r.From%magicLen == 0 {
			return err
		}
		return corruptAt(c.m.path, 0, "the magic FS30 or FS21", fmt.Sprintf("%q", magic[:]))
	}
	s := scan{file: c.new, path: c.m.path}
	_, err := s.before(c.r.From, new(txnHeader))
	return err
}

// transaction checks the one that w is at.
func (c *repairCheck) transaction(w *walker) error {
	c.counted = false
	if c.touches(w.pos, txnHeaderLen) {
		var b [txnHeaderLen]byte
		var was txnHeader
		readSectors(c.m.file, b[:], w.pos)
		was.decode(b[:])
		c.counted = was.Status == zodb.StatusUndone
	}
	return w.records(func(rec record) error { return c.record(w, &rec) })
}

// record checks the pointers of a record that is repaired, and notes whether it was another one.
func (c *repairCheck) record(w *walker, rec *record) error {
	if c.counted && w.txn.Status != zodb.StatusUndone {
		c.wrong = append(c.wrong, relabelled{rec.pos, rec.Oid, rec.Oid})
	}
	if !c.touches(rec.pos, recHeaderLen+backLen) {
		return nil
	}
	for _, to := range []int64{rec.Prev, rec.back} {
		if err := c.leadsBack(rec, to); err != nil {
			return err
		}
	}
	var b [recHeaderLen]byte
	var was recHeader
	readSectors(c.m.file, b[:], rec.pos)
	if was.decode(b[:]); was.Oid != rec.Oid && w.txn.Status != zodb.StatusUndone {
		c.wrong = append(c.wrong, relabelled{rec.pos, was.Oid, rec.Oid})
	}
	return nil
}

// leadsBack checks that there is an earlier record of the same oid at to, or that to is 0.
func (c *repairCheck) leadsBack(rec *record, to int64) error {
	if to == 0 {
		return nil
	}
	if to < magicLen+txnHeaderLen || to > rec.pos-recHeaderLen-backLen {
		return corruptAt(c.m.path, rec.pos, "pointers to earlier records", fmt.Sprint(to))
	}
	var b [recHeaderLen]byte
	if err := readFull(c.new, b[:], to); err != nil {
		return err
	}
	var target recHeader
	if target.decode(b[:]); target.Oid != rec.Oid {
		return corruptAt(c.m.path, to, "a record of oid "+rec.Oid.String(), "one of "+target.Oid.String())
	}
	return nil
}

// touches reports whether the repair changes any of the n bytes at pos.
func (c *repairCheck) touches(pos, n int64) bool {
	for i := range c.r.Patches {
		if p := &c.r.Patches[i]; p.Pos < pos+n && pos < p.End() {
			return true
		}
	}
	return false
}

// removeIndex removes the saved index, durably.
func (m *mender) removeIndex() error {
	if err := vfs.RemoveIfThere(m.fs, m.path+indexSuffix); err != nil {
		return err
	}
	return m.fs.SyncDir(filepath.Dir(m.path))
}

// mend does what was checked.
func (m *mender) mend(r *Repair) error {
	p := newRepairPlan(m.file, r.Patches)
	var err error
	if m.kept, err = m.quarantine(r, p); err != nil {
		return fmt.Errorf("keep the damaged bytes: %w", err)
	}
	if err := p.save(m.fs, m.path); err != nil {
		return err
	}
	if err := p.execute(m.fs, m.path, m.file); err != nil {
		return err
	}
	return m.readBack(r.Patches)
}

// A NotKeptError says that the disk does not give what a repair has just written.
type NotKeptError struct {
	Path string
	Pos  int64
	Err  error // nil: it gives something else
}

func (e *NotKeptError) Error() string {
	why := "it gives something else"
	if e.Err != nil {
		why = e.Err.Error()
	}
	return fmt.Sprintf("the disk of %s does not give what was written at %d (%s): replace the disk, and have this "+
		"node filled anew", e.Path, e.Pos, why)
}

func (e *NotKeptError) Unwrap() error { return e.Err }

// readBack reads what was written.
func (m *mender) readBack(patches []Patch) error {
	for i := range patches {
		p := &patches[i]
		is := make([]byte, len(p.Data))
		if err := readFull(m.file, is, p.Pos); err != nil || !bytes.Equal(is, p.Data) {
			return &NotKeptError{m.path, p.Pos, err}
		}
	}
	return nil
}
