package inside

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// A NoObjectError says that an object that is to be reverted is not there, and was not at the moment.
type NoObjectError struct {
	Oid zodb.Oid
	To  zodb.Tid
}

func (e *NoObjectError) Error() string {
	return fmt.Sprintf("there is no object %v now, and there was none at %v: zrsd find knows the oids of objects",
		e.Oid, e.To)
}

// A History is a storage whose objects can be read as they are and as they were. A *zodb.POSKeyError says that there is
// no such object.
type History interface {
	Load(ctx context.Context, oid zodb.Oid) (data []byte, tid zodb.Tid, err error)
	LoadBefore(ctx context.Context, oid zodb.Oid, before zodb.Tid) (data []byte, tid zodb.Tid, err error)
	// SameBlob compares the blobs of two revisions, whose records say nothing of them.
	SameBlob(ctx context.Context, oid zodb.Oid, one, other zodb.Tid) (bool, error)
}

// A Revert brings objects back to what they were at a moment: the given ones, or with Subtree all that they referred to
// then, and so on, but for what they are in.
type Revert struct {
	To      zodb.Tid // the state after the last transaction up to this one
	Oids    []zodb.Oid
	Subtree bool
}

// A RevertPlan says what a Revert changes.
type RevertPlan struct {
	Objects   []Reverted // that change
	Same      []Reverted // that are as they were; a transaction checks that they stay
	Created   []Reverted // that are in the subtree now and did not exist then: they are left as they are
	Conflicts []Reverted // for which a revert may not be what is wanted
}

// A Reverted is an object of a RevertPlan.
type Reverted struct {
	Oid   zodb.Oid   `json:"oid"`
	Class string     `json:"class"`
	Path  []zodb.Oid `json:"path"`     // from one of the given objects, by references, to this one
	Base  zodb.Tid   `json:"base"`     // the revision of now; 0: it does not exist
	Then  zodb.Tid   `json:"then_tid"` // the revision of then; 0: it did not exist
	Size  int        `json:"size"`     // of the record of then, or of now where there was none
	Why   string     `json:"why,omitempty"`
	Blob  bool       `json:"blob"`
}

// parentName is the attribute by which an object of zope.location, and so of Plone, refers to what it is in: that is
// not of its subtree. By it each subtree would be the whole site.
const parentName = "__parent__"

// maxReverted bounds the objects of a subtree that are looked at.
const maxReverted = 1_000_000

// Plan reads what there is to be done.
func (r *Revert) Plan(ctx context.Context, h History) (*RevertPlan, error) {
	w := &reverting{Revert: r, h: h, scan: new(references.Scanner)}
	then, err := w.walk(ctx, w.then)
	if err != nil {
		return nil, err
	}
	now, err := w.walk(ctx, w.now)
	if err != nil {
		return nil, err
	}
	p := new(RevertPlan)
	for i, oid := range then.order {
		one, err := w.compare(ctx, oid, then)
		if err != nil {
			return nil, err
		}
		if i < len(w.Oids) && one.Then == 0 && one.Base == 0 {
			return nil, &NoObjectError{oid, r.To}
		}
		_, inside := now.from[oid]
		p.add(one, inside)
	}
	for _, oid := range now.order {
		if _, was := then.from[oid]; was {
			continue
		}
		one, err := w.compare(ctx, oid, now)
		if err != nil {
			return nil, err
		}
		if one.Then == 0 && one.Base != 0 {
			p.Created = append(p.Created, one)
		}
	}
	return p, nil
}

// Changed returns the objects that somebody has changed after this plan was made, by a plan for the same revert that
// was made later. One that was written again as it was has not changed, and this plan holds with the bases of the
// later one.
func (p *RevertPlan) Changed(ctx context.Context, h History, later *RevertPlan) (changed []Reverted, err error) {
	before := make(map[zodb.Oid]Reverted)
	for _, o := range slices.Concat(p.Objects, p.Conflicts) {
		before[o.Oid] = o
	}
	for _, o := range slices.Concat(later.Objects, later.Conflicts) {
		same := false
		if was, planned := before[o.Oid]; planned {
			if same, err = sameRevision(ctx, h, &o, was.Base); err != nil {
				return nil, err
			}
		}
		if !same && !slices.ContainsFunc(changed, func(c Reverted) bool { return c.Oid == o.Oid }) {
			changed = append(changed, o)
		}
	}
	return changed, nil
}

// sameRevision compares what an object is with what it was in an earlier revision; 0: it did not exist.
func sameRevision(ctx context.Context, h History, o *Reverted, earlier zodb.Tid) (bool, error) {
	if o.Base == earlier || o.Base == 0 || earlier == 0 {
		return o.Base == earlier, nil
	}
	is, _, err := h.LoadBefore(ctx, o.Oid, o.Base+1)
	if err != nil {
		return false, fmt.Errorf("read object %v of transaction %v: %w", o.Oid, o.Base, err)
	}
	was, _, err := h.LoadBefore(ctx, o.Oid, earlier+1)
	if err != nil {
		return false, fmt.Errorf("read object %v of transaction %v: %w", o.Oid, earlier, err)
	}
	if !o.Blob || string(is) != string(was) {
		return string(is) == string(was), nil
	}
	return h.SameBlob(ctx, o.Oid, earlier, o.Base)
}

// add sorts an object of the subtree of then. inside: it is in the subtree of now, too.
func (p *RevertPlan) add(o Reverted, inside bool) {
	switch {
	case o.Then == 0 && o.Base == 0: // a reference to nothing, then as now
	case o.Then == 0:
		o.Why = "it is referred to, and what it was then is not in the file: it did not exist, or a pack removed it"
		p.Conflicts = append(p.Conflicts, o)
	case o.Why == "":
		p.Same = append(p.Same, o)
	default:
		if !inside && o.Base != 0 && !isBucket(o.Class) {
			c := o
			c.Why = "it was changed since, and is not in the subtree any more: it may be used elsewhere now"
			p.Conflicts = append(p.Conflicts, c)
		}
		p.Objects = append(p.Objects, o)
	}
}

// isBucket reports whether objects of a class are parts of one BTree, which drops them when they are empty.
func isBucket(class string) bool {
	return strings.HasPrefix(class, "BTrees.") && strings.HasSuffix(class, "Bucket")
}

// A reverting is one run of Plan.
type reverting struct {
	*Revert
	h    History
	scan *references.Scanner
}

func (w *reverting) then(ctx context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	return present(w.h.LoadBefore(ctx, oid, w.To+1))
}

func (w *reverting) now(ctx context.Context, oid zodb.Oid) ([]byte, zodb.Tid, error) {
	return present(w.h.Load(ctx, oid))
}

// present makes an object that is not there one without data and tid.
func present(data []byte, tid zodb.Tid, err error) ([]byte, zodb.Tid, error) {
	var none *zodb.POSKeyError
	if errors.As(err, &none) {
		return nil, 0, nil
	}
	return data, tid, err
}

// A subtree has objects in the order in which they were found, and from which other one each was.
type subtree struct {
	order []zodb.Oid
	from  map[zodb.Oid]zodb.Oid // a given object: itself
}

// walk finds the objects, by the records that read returns.
func (w *reverting) walk(ctx context.Context,
	read func(context.Context, zodb.Oid) ([]byte, zodb.Tid, error)) (*subtree, error) {
	s := &subtree{from: make(map[zodb.Oid]zodb.Oid)}
	for _, oid := range w.Oids {
		s.add(oid, oid)
	}
	for i := 0; w.Subtree && i < len(s.order); i++ {
		oid := s.order[i]
		data, tid, err := read(ctx, oid)
		if err != nil {
			return nil, fmt.Errorf("read object %v: %w", oid, err)
		}
		if tid == 0 {
			continue
		}
		refs, err := w.scan.Scan(data, nil)
		if err != nil {
			return nil, fmt.Errorf("references of object %v in transaction %v: %w", oid, tid, err)
		}
		names := RefNames(data)
		for _, ref := range refs {
			if names[ref] != parentName {
				s.add(ref, oid)
			}
		}
		if len(s.order) > maxReverted {
			return nil, fmt.Errorf("the subtree has more than %d objects: name smaller ones", maxReverted)
		}
	}
	return s, nil
}

func (s *subtree) add(oid, from zodb.Oid) {
	if _, twice := s.from[oid]; !twice {
		s.from[oid] = from
		s.order = append(s.order, oid)
	}
}

// maxRevertPath bounds the path that is shown.
const maxRevertPath = 100

func (s *subtree) path(oid zodb.Oid) (path []zodb.Oid) {
	for path = []zodb.Oid{oid}; s.from[oid] != oid && len(path) < maxRevertPath; path = append(path, oid) {
		oid = s.from[oid]
	}
	slices.Reverse(path)
	return path
}

// compare describes an object; Why says what is to be done about it, empty where nothing is.
func (w *reverting) compare(ctx context.Context, oid zodb.Oid, s *subtree) (o Reverted, err error) {
	was, then, err := w.then(ctx, oid)
	if err != nil {
		return o, fmt.Errorf("read object %v as of %v: %w", oid, w.To, err)
	}
	is, base, err := w.now(ctx, oid)
	if err != nil {
		return o, fmt.Errorf("read object %v: %w", oid, err)
	}
	data := was
	if then == 0 {
		data = is
	}
	o = Reverted{Oid: oid, Class: record.ClassOf(data), Path: s.path(oid), Base: base, Then: then, Size: len(data)}
	o.Blob = o.Class == blobClass.String()
	same := string(was) == string(is)
	if o.Blob && same && then != 0 && base != then {
		if same, err = w.h.SameBlob(ctx, oid, then, base); err != nil {
			return o, fmt.Errorf("compare the blobs of object %v in transactions %v and %v: %w", oid, then, base, err)
		}
	}
	switch {
	case then == 0 || base == then:
	case base == 0:
		o.Why = "it was deleted since"
	case !same:
		o.Why = "it was changed since"
	}
	return o, nil
}
