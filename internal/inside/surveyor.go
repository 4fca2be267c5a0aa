package inside

import (
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/references"
)

// A surveyor is a worker of a survey.
type surveyor struct {
	*Survey
	scanner  references.Scanner
	contents references.Contents
	names    nameCache
	ids      []classID // by mention of contents: the class, where it has been looked up
	beliefs  []belief  // not noted yet
	edges    edgeWriter
	to       []uint32
	weak     int64
	records  int64
	bytes    int64
	named    []int64
}

// A belief is the class that a reference names.
type belief struct {
	to    uint32
	class classID
}

// beliefsKept is how many beliefs are noted together: each is at another place of memory, and these are waited for
// at the same time then.
const beliefsKept = 256

func newSurveyor(s *Survey) *surveyor {
	return &surveyor{
		Survey: s, names: nameCache{classNames: s.names, seen: make(map[string]classID)},
		edges: edgeWriter{edges: s.edges}, beliefs: make([]belief, 0, beliefsKept),
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
func (w *surveyor) take(number uint32) error {
	w.ids = append(w.ids[:0], make([]classID, len(w.contents.Mentions))...)
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
	if w.Survey.edges == nil {
		return nil
	}
	return w.edges.add(number, w.to)
}

func (w *surveyor) classOf(mention int) (classID, error) {
	if mention < 0 {
		return 0, nil
	}
	if m := &w.contents.Mentions[mention]; m.Kind == references.Again {
		mention = m.First
	}
	if id := w.ids[mention]; id != 0 {
		return id, nil
	}
	module, name := w.contents.Names(mention)
	if len(name) == 0 {
		return 0, nil
	}
	id, err := w.names.id(module, name)
	w.ids[mention] = id
	return id, err
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
		w.beliefs = append(w.beliefs, belief{to, class})
		if len(w.beliefs) == beliefsKept {
			w.flush()
		}
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
		before := w.said[number].Load()
		if w.said[number].CompareAndSwap(before, before&^0xffff|uint32(own)) {
			return
		}
	}
}

// flush takes note of what was kept.
func (w *surveyor) flush() {
	for _, b := range w.beliefs {
		if classID(w.said[b.to].Load()>>16) != b.class {
			w.believe(b.to, b.class)
		}
	}
	w.beliefs = w.beliefs[:0]
}

// believe takes note of the class that a reference names.
func (w *surveyor) believe(to uint32, class classID) {
	for {
		before := w.said[to].Load()
		first := classID(before >> 16)
		switch {
		case first == class:
			return
		case first != 0:
			w.suspect[to/32].Or(1 << (to % 32))
			return
		case w.said[to].CompareAndSwap(before, before|uint32(class)<<16):
			return
		}
	}
}
