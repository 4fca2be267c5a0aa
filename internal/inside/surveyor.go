package inside

import (
	"fmt"
	"math"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// A surveyor is a worker of a survey.
type surveyor struct {
	*Survey
	scanner  references.Scanner
	contents references.Contents
	names    nameCache
	own      classID   // of the object
	ids      []classID // by mention of contents: the class, where it has been looked up
	kept     []kept    // references that are not noted yet: whole records
	edges    edgeWriter
	to       []uint32
	weak     int64
	records  int64
	bytes    int64
	named    []int64
}

// A kept reference is still to be noted.
type kept struct {
	to    zodb.Oid
	from  uint32
	class classID // that it names
}

// noteAt is how many references are noted together: what is known of each object is at another place of memory, and
// these are waited for at the same time then.
const noteAt = 256

func newSurveyor(s *Survey) *surveyor {
	return &surveyor{
		Survey: s, contents: references.Contents{Brief: true},
		names: nameCache{classNames: s.names, seen: make(map[string]classID)},
		edges: edgeWriter{edges: s.edges},
	}
}

func (w *surveyor) visit(r *filestorage.CurrentRecord) error {
	number, ok := w.oids.number(r.Oid)
	if !ok {
		return fmt.Errorf("object %v was not there when the pass began", r.Oid)
	}
	w.sizes.set(number, r.Size)
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
func (w *surveyor) take(number uint32) (err error) {
	w.ids = w.ids[:0]
	if w.own, err = w.ownClass(); err != nil {
		return err
	}
	w.said[number].Or(uint32(w.own))
	for i := range w.contents.References {
		if err := w.refer(number, &w.contents.References[i]); err != nil {
			return err
		}
	}
	if len(w.kept) >= noteAt {
		return w.flush()
	}
	return nil
}

// ownClass returns the class of the object. What is noted of it serves all records that begin with the same pickle.
func (w *surveyor) ownClass() (own classID, err error) {
	mention, note := w.contents.Class, w.contents.Note
	switch {
	case mention < 0:
		return 0, nil
	case note == nil:
		return w.lookUp(mention)
	case *note == 0:
		own, err = w.lookUp(mention)
		*note = uint32(own)
	}
	return classID(*note), err
}

func (w *surveyor) classOf(mention int) (id classID, err error) {
	if mention < 0 {
		return 0, nil
	}
	if mention == w.contents.Class {
		return w.own, nil
	}
	if len(w.ids) == 0 {
		w.ids = append(w.ids, make([]classID, len(w.contents.Mentions))...)
	}
	if w.ids[mention] == 0 {
		w.ids[mention], err = w.lookUp(mention)
	}
	return w.ids[mention], err
}

func (w *surveyor) lookUp(mention int) (classID, error) {
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
	if int(class) >= len(w.named) {
		w.named = grown(w.named, int(class)+1)
	}
	w.named[class]++
	if r.Database.Len > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.findings.cross = append(w.findings.cross, cross{from, r.Oid, class, w.database(r.Database)})
		return nil
	}
	w.kept = append(w.kept, kept{r.Oid, from, class})
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

// flush takes note of what was kept.
func (w *surveyor) flush() error {
	w.to = w.to[:0]
	for i := range w.kept {
		to, ok := w.oids.number(w.kept[i].to)
		if !ok {
			to = w.dangle(&w.kept[i])
		}
		w.to = append(w.to, to)
	}
	for i, to := range w.to {
		class := w.kept[i].class
		if class != 0 && classID(w.said[to].Load()) != class {
			w.believe(to, class)
		}
	}
	err := w.connect()
	w.kept = w.kept[:0]
	return err
}

const nobody = math.MaxUint32

// dangle takes note of a reference to an object that is missing.
func (w *surveyor) dangle(k *kept) uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.findings.dangling = append(w.findings.dangling, dangling{k.from, k.to, k.class})
	k.class = 0
	return nobody
}

// connect keeps the references of each record.
func (w *surveyor) connect() error {
	if w.Survey.edges == nil {
		return nil
	}
	for first := 0; first < len(w.kept); {
		from, end := w.kept[first].from, first+1
		for end < len(w.kept) && w.kept[end].from == from {
			end++
		}
		to := slices.DeleteFunc(w.to[first:end], func(to uint32) bool { return to == nobody })
		if err := w.edges.add(from, to); err != nil {
			return err
		}
		first = end
	}
	return nil
}

// believe takes note of the class that a reference names.
func (w *surveyor) believe(to uint32, class classID) {
	for {
		before := w.said[to].Load()
		own, first := classID(before), classID(before>>16)
		switch {
		case own == class || own == 0 && first == class:
			return
		case own != 0 || first != 0:
			w.suspect[to/32].Or(1 << (to % 32))
			return
		case w.said[to].CompareAndSwap(before, before|uint32(class)<<16):
			return
		}
	}
}
