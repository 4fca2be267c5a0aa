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

	noEdges bool // references are not kept: they are read again where a path is wanted, see Survey.connect
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
	classes []classID // by number: what the record says
	sizes   *sizes
	edges   *edges          // nil: not known yet
	suspect []atomic.Uint32 // bits: references do not all believe the same class, or not that of the record
	ways    *ways           // see Survey.walk
	// said is, during the pass, by number, what the record says, and in the upper half what the first reference
	// believes. Afterwards its memory is for the ways.
	said []atomic.Uint32

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
		st: st, opt: opt, oids: oids, names: newClassNames(),
		said: make([]atomic.Uint32, oids.count), sizes: newSizes(oids.count),
		suspect: make([]atomic.Uint32, oids.count/32+1),
		findings: findings{
			gone: make(map[uint32]bool), unread: make(map[uint32]string),
		},
	}
	if !opt.noEdges {
		s.edges = newEdges(oids.count)
	}
	workers := make([]*surveyor, opt.Workers)
	for i := range workers {
		workers[i] = newSurveyor(s)
	}
	err := s.visit(ctx, func(worker int, r *filestorage.CurrentRecord) error { return workers[worker].visit(r) })
	if err != nil {
		return nil, err
	}
	for _, w := range workers {
		if err := w.flush(); err != nil {
			return nil, err
		}
		s.findings.weak += w.weak
		s.findings.records += w.records
		s.findings.bytes += w.bytes
		s.findings.addNamed(w.named)
	}
	s.settle()
	return s, nil
}

// settle keeps of what was said the classes, and who is suspect.
func (s *Survey) settle() {
	s.classes = make([]classID, len(s.said))
	for number := range s.said {
		both := s.said[number].Load()
		own, believed := classID(both), classID(both>>16)
		s.classes[number] = own
		if own == 0 {
			s.suspect[number/32].And(^(uint32(1) << (number % 32)))
		} else if believed != 0 && believed != own {
			s.suspect[number/32].Or(1 << (number % 32))
		}
	}
}

// visit reads the storage once.
func (s *Survey) visit(ctx context.Context, one func(worker int, r *filestorage.CurrentRecord) error) error {
	return s.st.VisitCurrent(ctx, filestorage.CurrentVisit{
		Workers: s.opt.Workers, Progress: s.opt.Progress, Begin: s.opt.begin, Visit: one,
	})
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

// isSuspect reports whether a reference to an object may believe another class than its record says.
func (s *Survey) isSuspect(number uint32) bool {
	return s.suspect[number/32].Load()&(1<<(number%32)) != 0
}

func (s *Survey) anySuspect() bool {
	for i := range s.suspect {
		if s.suspect[i].Load() != 0 {
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
