package inside

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Options of Take.
type Options struct {
	Workers  int                     // 0: as many as there are cores
	Progress func(done, total int64) // in bytes; may be nil
	FS       vfs.FS                  // nil: the real disk
	Yield    bool                    // clients of the process go first
	Logger   hclog.Logger            // nil: silent
}

// begin is what each goroutine does first.
func (opt *Options) begin() {
	if opt.Yield {
		priority.Lower(priority.Background)
	}
}

// fill gives what is not set its default.
func (opt *Options) fill() {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
		if opt.Yield {
			opt.Workers = max(1, opt.Workers/2)
		}
	}
	if opt.Logger == nil {
		opt.Logger = hclog.NewNullLogger()
	}
}

// scan reads a record, of which nothing is known.
func (opt *Options) scan(s *references.Scanner, data []byte, into *references.Contents) error {
	return recovered.Do(opt.Logger, "reading the record of an object", func() error { return s.Read(data, into) })
}

// A Survey is what one pass over a storage has found. It is for one goroutine.
type Survey struct {
	st      *filestorage.Storage
	opt     Options
	oids    *numbering
	names   *classNames
	classes []atomic.Uint32 // by number: what the record says, and in the upper half what the first reference believes
	sizes   []uint32        // of the record in the file
	edges   *edges
	suspect []atomic.Uint32 // bits: references do not all believe the same class, or not that of the record
	ways    *ways           // see Survey.walk

	refNames     map[zodb.Oid]map[zodb.Oid]string // see Survey.nameIn
	refNameCount int

	mu       sync.Mutex
	findings findings
}

// findings are what workers have found.
type findings struct {
	gone     map[uint32]bool   // objects that do not exist any more
	unread   map[uint32]string // objects whose record cannot be read, and why
	dangling []dangling        // references to objects that are missing
	cross    []cross
	weak     int64
	records  int64
	bytes    int64
	named    []int64 // by class: references that name it
}

type dangling struct {
	from  uint32
	to    zodb.Oid
	class classID
}

type cross struct {
	from     uint32
	to       zodb.Oid
	class    classID
	database string
}

// Take makes a survey of the objects of a storage. The storage must take no commits meanwhile, as one that was opened
// read-only does.
func Take(ctx context.Context, st *filestorage.Storage, opt Options) (*Survey, error) {
	opt.fill()
	oids := numberOids(st.Oids())
	if oids.count >= math.MaxUint32 {
		return nil, fmt.Errorf("%s has more objects than can be numbered", st.Path())
	}
	s := &Survey{
		st: st, opt: opt, oids: oids, names: newClassNames(), edges: newEdges(oids.count),
		classes: make([]atomic.Uint32, oids.count), sizes: make([]uint32, oids.count),
		suspect: make([]atomic.Uint32, oids.count/32+1),
		findings: findings{
			gone: make(map[uint32]bool), unread: make(map[uint32]string),
		},
	}
	workers := make([]*surveyor, opt.Workers)
	for i := range workers {
		workers[i] = newSurveyor(s)
	}
	err := st.VisitCurrent(ctx, filestorage.CurrentVisit{
		Workers: opt.Workers, Progress: opt.Progress, Begin: opt.begin,
		Visit: func(worker int, r *filestorage.CurrentRecord) error { return workers[worker].visit(r) },
	})
	if err != nil {
		return nil, err
	}
	for _, w := range workers {
		s.findings.weak += w.weak
		s.findings.records += w.records
		s.findings.bytes += w.bytes
		s.findings.addNamed(w.named)
	}
	return s, nil
}

func (f *findings) addNamed(named []int64) {
	f.named = grown(f.named, len(named))
	for class, n := range named {
		f.named[class] += n
	}
}

func grown(counts []int64, length int) []int64 {
	if len(counts) >= length {
		return counts
	}
	return append(counts, make([]int64, length-len(counts))...)
}

// class returns what the record of an object says, and what the first reference to it believes.
func (s *Survey) class(number uint32) (own, believed classID) {
	both := s.classes[number].Load()
	return classID(both), classID(both >> 16)
}

func (s *Survey) exists(number uint32) bool { return !s.findings.gone[number] }

// name returns a class as module.name, "?" where a record does not name one.
func (s *Survey) name(id classID) string {
	if id == 0 {
		return unknownClass
	}
	return dotted(s.names.names[id])
}

const unknownClass = "?"

func dotted(name string) string { return strings.Replace(name, "\n", ".", 1) }

// A surveyor is a worker of a survey.
type surveyor struct {
	*Survey
	scanner  references.Scanner
	contents references.Contents
	names    nameCache
	edges    edgeWriter
	to       []uint32
	weak     int64
	records  int64
	bytes    int64
	named    []int64
}

func newSurveyor(s *Survey) *surveyor {
	return &surveyor{
		Survey: s, names: nameCache{classNames: s.names, seen: make(map[string]classID)},
		edges: edgeWriter{edges: s.edges},
	}
}

func (w *surveyor) visit(r *filestorage.CurrentRecord) error {
	number, ok := w.oids.number(r.Oid)
	if !ok {
		return fmt.Errorf("object %v was not there when the pass began", r.Oid)
	}
	w.sizes[number] = uint32(min(r.Size, math.MaxUint32))
	w.records++
	w.bytes += r.Size
	err := r.Err
	if err == nil && r.Data == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.findings.gone[number] = true
		return nil
	}
	if err == nil {
		err = w.opt.scan(&w.scanner, r.Data, &w.contents)
	}
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.findings.unread[number] = err.Error()
		return nil
	}
	return w.take(number)
}

// take keeps what is in the record of an object.
func (w *surveyor) take(number uint32) error {
	own, err := w.classOf(w.contents.Class)
	if err != nil {
		return err
	}
	w.setClass(number, own)
	w.to = w.to[:0]
	for i := range w.contents.References {
		if err := w.refer(number, &w.contents.References[i]); err != nil {
			return err
		}
	}
	return w.edges.add(number, w.to)
}

func (w *surveyor) classOf(mention int) (classID, error) {
	if mention < 0 {
		return 0, nil
	}
	module, name := w.contents.Names(mention)
	if len(name) == 0 {
		return 0, nil
	}
	return w.names.id(module, name)
}

func (w *surveyor) refer(from uint32, r *references.Reference) error {
	if r.Weak {
		w.weak++
		return nil
	}
	class, err := w.classOf(r.Class)
	if err != nil {
		return err
	}
	w.named = grown(w.named, int(class)+1)
	w.named[class]++
	if r.Database.Len > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.findings.cross = append(w.findings.cross, cross{from, r.Oid, class, w.database(r.Database)})
		return nil
	}
	to, ok := w.oids.number(r.Oid)
	if !ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.findings.dangling = append(w.findings.dangling, dangling{from, r.Oid, class})
		return nil
	}
	w.to = append(w.to, to)
	if class != 0 {
		w.believe(to, class)
	}
	return nil
}

// database returns a name, of which there are few, so that cross references share it. mu is locked.
func (w *surveyor) database(span references.Span) string {
	name := span.Of(w.contents.Record)
	if n := len(w.findings.cross); n > 0 && w.findings.cross[n-1].database == string(name) {
		return w.findings.cross[n-1].database
	}
	return string(name)
}

func (w *surveyor) setClass(number uint32, own classID) {
	for {
		before := w.classes[number].Load()
		if w.classes[number].CompareAndSwap(before, before&^0xffff|uint32(own)) {
			return
		}
	}
}

// believe takes note of the class that a reference names.
func (w *surveyor) believe(to uint32, class classID) {
	for {
		before := w.classes[to].Load()
		first := classID(before >> 16)
		switch {
		case first == class:
			return
		case first != 0:
			w.suspect[to/32].Or(1 << (to % 32))
			return
		case w.classes[to].CompareAndSwap(before, before|uint32(class)<<16):
			return
		}
	}
}

// isSuspect reports whether a reference to an object may believe another class than its record says.
func (s *Survey) isSuspect(number uint32) bool {
	own, believed := s.class(number)
	if own == 0 {
		return false
	}
	return believed != 0 && believed != own || s.suspect[number/32].Load()&(1<<(number%32)) != 0
}

func (s *Survey) anySuspect() bool {
	for number := range uint32(s.oids.count) {
		if s.isSuspect(number) {
			return true
		}
	}
	return false
}

var errNotThere = errors.New("there is no such object")

// numberOf returns the number of an object that has to be there.
func (s *Survey) numberOf(oid zodb.Oid) (uint32, error) {
	number, ok := s.oids.number(oid)
	if !ok {
		return 0, fmt.Errorf("object %v: %w", oid, errNotThere)
	}
	return number, nil
}
