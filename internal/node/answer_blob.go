package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A client that asks for a damaged blob gets what another node has, as with records. Where the node heals by itself the
// blob is healed first. Elsewhere its content is copied into a file without a name, proved there as that of a repair
// is, and given out; the blob stays as it is until an operator agrees.

// blobWithin bounds the time for all other nodes: a client of ZEO waits for 30 s, and a blob may be large.
const blobWithin = 25 * time.Second

// A damagedBlobError says what a client gets for a blob that is known to be wrong, where no other node has it.
type damagedBlobError struct {
	Oid   zodb.Oid
	Tid   zodb.Tid
	Found string
}

func (e *damagedBlobError) Error() string {
	return fmt.Sprintf("the blob of oid %v tid %v is damaged, and no other node has answered with what it has to be: "+
		"%s", e.Oid, e.Tid, e.Found)
}

// Is is for errors.Is.
func (e *damagedBlobError) Is(target error) bool { return target == zodb.ErrDamagedBlob }

// damagedBlobs is zeo.DamagedBlobs.
type damagedBlobs struct {
	h  *healer
	st *filestorage.Storage
}

// Known is zeo.DamagedBlobs.
func (d *damagedBlobs) Known(oid zodb.Oid, tid zodb.Tid) error {
	if found, known := d.h.knows(oid, tid); known {
		return &damagedBlobError{oid, tid, found}
	}
	return nil
}

// shortBlob is blobstore.Store.Damaged. A size that is not the noted one is damage as one that a verification finds.
func (h *healer) shortBlob(damage *zodb.DamagedBlobError) {
	oid, tid := damage.Oid, damage.Tid
	h.add("a reader", verify.Suspect{Blob: true, Oid: &oid, Tid: &tid,
		Found: fmt.Sprintf("it has %d bytes, and %d were noted of it", damage.Size, damage.Noted)})
}

// cameWithout returns secondary.Options.MissingBlobs. A blob that did not come is damage as one that a verification
// misses.
func (h *healer) cameWithout(st *filestorage.Storage) func([]filestorage.BlobID) {
	return func(blobs []filestorage.BlobID) {
		for _, b := range blobs {
			if f, err := st.OpenBlob(b.Oid, b.Tid); err == nil { // it is here from before
				_ = f.Close() // only read
				continue
			}
			if data, err := st.LoadSerial(b.Oid, b.Tid); err == nil && zodb.IsBlobRecord(data) {
				h.add("replication", verify.Suspect{Blob: true, Oid: &b.Oid, Tid: &b.Tid,
					Found: "it did not come with its record: it is missing, or damaged, where that came from"})
			}
		}
	}
}

// Unreadable is zeo.DamagedBlobs.
func (d *damagedBlobs) Unreadable(oid zodb.Oid, tid zodb.Tid, err error) {
	d.h.add("a reader", verify.Suspect{Blob: true, Oid: &oid, Tid: &tid,
		Found: fmt.Sprintf("its blob cannot be read: %v", err)})
}

// Open is zeo.DamagedBlobs.
func (d *damagedBlobs) Open(ctx context.Context, oid zodb.Oid, tid zodb.Tid, damage error) (zeo.BlobFile, error) {
	h := d.h
	v := h.c.verifiable.Load()
	if v == nil || v.blobs.own == nil || v.blobs.cached() {
		return nil, damage
	}
	s := verify.Suspect{Blob: true, Oid: &oid, Tid: &tid, Found: "a client has asked for it, and it cannot be opened"}
	if found, known := h.knows(oid, tid); known {
		s.Found = found
		if short := (*zodb.DamagedBlobError)(nil); errors.As(damage, &short) {
			damage = &damagedBlobError{oid, tid, found}
		}
	} else {
		if data, err := d.st.LoadSerial(oid, tid); err != nil || !zodb.IsBlobRecord(data) {
			return nil, damage // there has to be none
		}
		h.add("a reader", s)
	}
	ctx, cancel := context.WithTimeout(ctx, blobWithin)
	defer cancel()
	f, err := d.open(ctx, &s)
	h.answers.count(err == nil)
	if err != nil {
		return nil, damage
	}
	return f, nil
}

var errNotAnswered = errors.New("no other node has answered")

func (d *damagedBlobs) open(ctx context.Context, s *verify.Suspect) (vfs.File, error) {
	h := d.h
	if !h.auto() {
		return h.blobs.open(ctx, keyOf(s), func(ctx context.Context) (vfs.File, error) {
			f, err := h.c.answerBlob(ctx, d.st, s)
			if err != nil {
				h.log.Warn("a client asks for a damaged blob, and no other node could answer it", "oid", s.Oid, "tid",
					s.Tid, "found", s.Found, "error", err, "warning", warning.Damaged)
			}
			return f, err
		})
	}
	right := h.answers.ask(ctx, keyOf(s), func(ctx context.Context) bool { return h.healOne(ctx, *s) })
	if !right {
		return nil, errNotAnswered
	}
	return d.st.OpenBlob(*s.Oid, *s.Tid)
}

// knows returns what is known to be wrong with a blob.
func (h *healer) knows(oid zodb.Oid, tid zodb.Tid) (found string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.parts[partKey{blob: true, oid: oid, tid: tid}]
	if p == nil {
		return "", false
	}
	return p.Found, true
}

// streamAgain is how long streams do not ask for damaged blobs after one that nobody could answer: many may be damaged,
// and all that is committed after them waits.
const streamAgain = 30 * time.Second

// streamBlob is filestorage.Options.DamagedBlob.
func (h *healer) streamBlob(damage *zodb.DamagedBlobError) (f vfs.File, err error) {
	oid, tid := damage.Oid, damage.Tid
	if time.Since(time.Unix(0, h.unanswered.Load())) > streamAgain {
		ctx, cancel := context.WithTimeout(context.Background(), blobWithin)
		defer cancel()
		err = h.c.handle.use(ctx, func(ctx context.Context, st undoLister) error {
			own, is := st.(*filestorage.Storage)
			if !is {
				return errNotAnswered
			}
			found := fmt.Sprintf("it has %d bytes, and %d were noted of it", damage.Size, damage.Noted)
			f, err = (&damagedBlobs{h, own}).open(ctx, &verify.Suspect{Blob: true, Oid: &oid, Tid: &tid, Found: found})
			return err
		})
		if err == nil {
			return f, nil
		}
		h.unanswered.Store(time.Now().UnixNano())
	}
	h.log.Warn("a blob that is damaged here is left out of what another node gets", "oid", oid, "tid", tid, "error",
		damage, "warning", warning.Damaged)
	return nil, errors.Join(damage, err)
}

// answerBlob opens what a blob has to be: as it is, where that is right by now, else as another node has it.
func (c *Config) answerBlob(ctx context.Context, st *filestorage.Storage, s *verify.Suspect) (vfs.File, error) {
	v := c.verifiable.Load()
	if v == nil || v.blobs.own == nil {
		return nil, errNotOpen
	}
	opt := c.healOptions(v, st, "a load", false)
	into := &unnamedBlob{Storage: st, dir: v.blobs.own, disk: vfs.OrOS(c.FS)}
	opt.Target, opt.Answer, opt.Logger = into, answerPeer, nil
	report, err := heal.Run(ctx, opt, []verify.Suspect{*s})
	if err != nil {
		return nil, errors.Join(err, into.close())
	}
	item := &report.Items[0]
	switch item.Result {
	case heal.Sound:
		c.healer.settle(report)
		return st.OpenBlob(*s.Oid, *s.Tid)
	case heal.Failed:
		return nil, errors.Join(errors.New(*item.Error), into.close())
	}
	c.healer.log.Warn("a client that asks for a damaged blob is answered by what another node has", "oid", s.Oid, "tid",
		s.Tid, "length", item.Length, "found", s.Found, "peer", *item.Peer, "warning", warning.Damaged)
	return into.file, nil
}

// An unnamedBlob is a heal.Target that puts a blob into a file without a name, and repairs nothing.
type unnamedBlob struct {
	*filestorage.Storage
	dir  *blobstore.Store
	disk vfs.FS
	file vfs.File // nil: none has come
}

var errOnlyAsked = errors.New("a client has only asked for a blob: nothing is repaired")

// Repair is heal.Target.
func (*unnamedBlob) Repair(context.Context, *filestorage.Repair) error { return errOnlyAsked }

// Reindex is heal.Target.
func (*unnamedBlob) Reindex(context.Context) (int, error) { return 0, errOnlyAsked }

// RepairBlob is heal.Target. It leaves at least half of the room on the disk to those who commit.
func (u *unnamedBlob) RepairBlob(r *filestorage.BlobRepair) error {
	free, err := vfs.Free(u.disk, u.dir.Dir())
	if errors.Is(err, vfs.ErrNoSpaceInfo) {
		free, err = math.MaxInt64, nil
	}
	switch {
	case err != nil:
		return err
	case r.Size > free/2:
		return fmt.Errorf("a copy of %d bytes would take more than half of the %d bytes that are free in %s", r.Size,
			free, u.dir.Dir())
	}
	err = r.Read(func(content io.Reader) (err error) {
		u.file, err = u.dir.Unnamed(r.Oid, r.Tid, content)
		return err
	})
	if err != nil {
		return errors.Join(err, u.close())
	}
	return nil
}

func (u *unnamedBlob) close() error {
	if u.file == nil {
		return nil
	}
	err := u.file.Close()
	u.file = nil
	return err
}

// A sharedFile is a file without a name that several clients read at a time.
type sharedFile struct {
	vfs.File
	of    *blobAnswers
	key   partKey
	users int // guarded by of.mu
}

// blobAnswers are the files of blobs that other nodes have given, for as long as a client reads them. Clients that ask
// for one blob at a time have one file.
type blobAnswers struct {
	asks *answers

	mu     sync.Mutex
	shared map[partKey]*sharedFile
}

func newBlobAnswers() *blobAnswers {
	return &blobAnswers{asks: newAnswers(), shared: map[partKey]*sharedFile{}}
}

// open returns the file of a blob, which fetch gets unless somebody reads it, or fetches it, already.
func (b *blobAnswers) open(ctx context.Context, key partKey, fetch func(context.Context) (vfs.File, error)) (vfs.File,
	error) {
	for {
		if f := b.ref(key); f != nil {
			return f, nil
		}
		var mine vfs.File
		right := b.asks.ask(ctx, key, func(ctx context.Context) bool {
			f, err := fetch(ctx)
			if err == nil {
				mine = b.share(key, f)
			}
			return err == nil
		})
		switch {
		case mine != nil:
			return mine, nil
		case !right:
			return nil, errNotAnswered
		}
	}
}

// ref returns a file that somebody reads; nil: nobody does.
func (b *blobAnswers) ref(key partKey) vfs.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.shared[key]
	if l == nil {
		return nil
	}
	l.users++
	return &fileRef{sharedFile: l}
}

// share lets others read f until it is closed.
func (b *blobAnswers) share(key partKey, f vfs.File) vfs.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &sharedFile{File: f, of: b, key: key, users: 1}
	b.shared[key] = l
	return &fileRef{sharedFile: l}
}

// release closes the file when nobody reads it any more.
func (l *sharedFile) release() error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.users--; l.users > 0 {
		return nil
	}
	if l.of.shared[l.key] == l {
		delete(l.of.shared, l.key)
	}
	return l.Close()
}

// A fileRef is the file of a sharedFile for one client.
type fileRef struct {
	*sharedFile
	once sync.Once
	err  error
}

// Close is vfs.File.
func (b *fileRef) Close() error {
	b.once.Do(func() { b.err = b.release() })
	return b.err
}
