package inside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// blobClass is of records that are never changed: zodbupdate leaves them alone, too.
var blobClass = Class{"ZODB.blob", "Blob"}

// A Rewrite changes the classes in a storage. What was committed stays committed when it is stopped: it is started
// again, and finds only what is left.
type Rewrite struct {
	Rules       *Rules
	User        string
	Description string
	Records     int // of a transaction; 0: 1,000
	DryRun      bool
	Options     Options
	Done        func(objects, total int64) // called after each transaction; may be nil
}

const (
	defaultRecords = 1000
	// maxTries is how often an object is tried that others change meanwhile.
	maxTries = 10
	// maxBytes bounds a transaction, which is in memory.
	maxBytes = 16 << 20
)

// A Rewritten is what a Rewrite did, or would do.
type Rewritten struct {
	Done         bool          `json:"done"` // false: a dry run
	Objects      int64         `json:"objects"`
	Transactions []zodb.Tid    `json:"transactions"`
	Conflicts    int64         `json:"conflicts"` // objects that others changed meanwhile, and that were tried again
	Changes      []ClassChange `json:"changes"`
	Failed       []Unread      `json:"failed"` // records that are left as they are, and why
}

// A ClassChange is how often a class became another one.
type ClassChange struct {
	From       string `json:"from"`
	To         string `json:"to"`
	Objects    int64  `json:"objects"`    // by their own record
	References int64  `json:"references"` // to objects
	Values     int64  `json:"values"`     // inside of states
}

// A Store is what is rewritten: a storage, or a server.
type Store interface {
	// Load returns the current record of an object; *zodb.POSKeyError where there is none.
	Load(ctx context.Context, oid zodb.Oid) (data []byte, tid zodb.Tid, err error)
	// Commit stores changes on top of the revisions that they were made from. A *zodb.ConflictError says that others
	// have changed an object; nothing was stored then.
	Commit(ctx context.Context, meta *zodb.TxnMeta, changes []Change) (zodb.Tid, error)
}

// A Change is a new record of an object.
type Change struct {
	Oid    zodb.Oid
	Serial zodb.Tid // of the revision that it was made from
	Data   []byte
}

// Plan finds the objects whose records the rules change, and what changes, in a storage that is open for reading.
func (r *Rewrite) Plan(ctx context.Context, st *filestorage.Storage) (*RewritePlan, error) {
	s, err := Take(ctx, st, r.Options)
	if err != nil {
		return nil, err
	}
	p := &RewritePlan{rewrite: r, survey: s, counts: make(map[[2]Class]*ClassChange)}
	if r.Rules.ByRecord {
		p.records = s
	}
	return p, p.find(ctx)
}

// A RewritePlan is which objects are to be rewritten.
type RewritePlan struct {
	rewrite *Rewrite
	survey  *Survey
	records *Survey // which class the records say; nil: not wanted
	mu      sync.Mutex
	oids    []zodb.Oid
	counts  map[[2]Class]*ClassChange
	failed  []Unread
}

// want is the rule for a mention in the record of an object.
func (p *RewritePlan) want(oid zodb.Oid) wish {
	rules := p.rewrite.Rules
	return func(m *references.Mention, is Class) Class {
		switch m.Use {
		case references.OfObject:
			if to, there := rules.Objects[oid]; there {
				return to
			}
		case references.InReference:
			if to, there := rules.Objects[m.Target]; there {
				return to
			}
			if to, known := p.recordOf(m.Target); known {
				return rules.renamed(to)
			}
		case references.InState:
		}
		return rules.renamed(is)
	}
}

// recordOf returns the class that the record of an object says, where that counts.
func (p *RewritePlan) recordOf(oid zodb.Oid) (Class, bool) {
	if p.records == nil {
		return Class{}, false
	}
	number, ok := p.records.oids.number(oid)
	if !ok || !p.records.exists(number) {
		return Class{}, false
	}
	own := p.records.classes[number]
	if own == 0 {
		return Class{}, false
	}
	return splitName(p.records.names.names[own]), true
}

// A planner is a worker of RewritePlan.find.
type planner struct {
	*RewritePlan
	rewriter rewriter
}

func (p *RewritePlan) find(ctx context.Context) error {
	workers := make([]planner, p.survey.opt.Workers)
	for i := range workers {
		workers[i].RewritePlan = p
	}
	err := p.survey.st.VisitCurrent(ctx, filestorage.CurrentVisit{
		Workers: len(workers), Progress: p.rewrite.Options.Progress,
		Visit: func(worker int, r *filestorage.CurrentRecord) error { workers[worker].visit(r); return nil },
	})
	slices.Sort(p.oids)
	slices.SortFunc(p.failed, func(a, b Unread) int { return cmp.Compare(a.Oid, b.Oid) })
	return err
}

func (w *planner) visit(r *filestorage.CurrentRecord) {
	if r.Err == nil && r.Data == nil {
		return
	}
	err := r.Err
	changed := false
	if err == nil {
		_, changed, err = w.rewriteOne(r.Oid, r.Data)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.failed = append(w.failed, Unread{Oid: r.Oid, Why: err.Error(), Path: Path{}})
	case changed:
		w.oids = append(w.oids, r.Oid)
		w.count(r.Oid)
	}
}

// rewriteOne rewrites the record of an object, but no blob's.
func (w *planner) rewriteOne(oid zodb.Oid, data []byte) (out []byte, changed bool, err error) {
	out, changed, err = w.rewriter.rewrite(data, w.want(oid))
	if changed && ownClass(&w.rewriter.contents) == blobClass {
		return data, false, nil
	}
	return out, changed, err
}

// count adds up what changes in the record that was rewritten last. mu is locked.
func (w *planner) count(oid zodb.Oid) {
	c := &w.rewriter.contents
	want := w.want(oid)
	for i := range c.Mentions {
		is := classOf(c, i)
		to := want(&c.Mentions[i], is)
		if to == is {
			continue
		}
		n := w.counts[[2]Class{is, to}]
		if n == nil {
			n = &ClassChange{From: is.String(), To: to.String()}
			w.counts[[2]Class{is, to}] = n
		}
		switch c.Mentions[i].Use {
		case references.OfObject:
			n.Objects++
		case references.InReference:
			n.References++
		case references.InState:
			n.Values++
		}
	}
}

// Result says what would change.
func (p *RewritePlan) Result() *Rewritten {
	done := &Rewritten{
		Objects: int64(len(p.oids)), Transactions: []zodb.Tid{}, Changes: []ClassChange{}, Failed: p.failed,
	}
	if done.Failed == nil {
		done.Failed = []Unread{}
	}
	for _, c := range p.counts {
		done.Changes = append(done.Changes, *c)
	}
	slices.SortFunc(done.Changes, func(a, b ClassChange) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return done
}

// Apply rewrites the objects of the plan in a store, each from its revision at that moment. With an error the result
// says what was committed before it.
func (p *RewritePlan) Apply(ctx context.Context, store Store) (*Rewritten, error) {
	done := p.Result()
	done.Objects = 0
	w := &planner{RewritePlan: p}
	tries := 0
	for at := 0; at < len(p.oids); {
		if err := context.Cause(ctx); err != nil {
			return done, err
		}
		changes, next, err := w.batch(ctx, store, at)
		if err != nil {
			return done, err
		}
		if len(changes) > 0 {
			tid, err := store.Commit(ctx, p.meta(), changes)
			var conflict *zodb.ConflictError
			if errors.As(err, &conflict) && tries < maxTries {
				tries++
				done.Conflicts++
				continue // from the revisions of now
			}
			if err != nil {
				return done, fmt.Errorf("objects %v to %v: %w", changes[0].Oid, changes[len(changes)-1].Oid, err)
			}
			done.Transactions = append(done.Transactions, tid)
			done.Objects += int64(len(changes))
		}
		at, tries = next, 0
		if p.rewrite.Done != nil {
			p.rewrite.Done(int64(at), int64(len(p.oids)))
		}
	}
	done.Done = true
	return done, nil
}

func (p *RewritePlan) meta() *zodb.TxnMeta {
	return &zodb.TxnMeta{User: []byte(p.rewrite.User), Description: []byte(p.rewrite.Description)}
}

// batch rewrites objects from at on, for one transaction.
func (w *planner) batch(ctx context.Context, store Store, at int) (changes []Change, next int, err error) {
	most := w.rewrite.Records
	if most <= 0 {
		most = defaultRecords
	}
	size := 0
	for next = at; next < len(w.oids) && len(changes) < most && size < maxBytes; next++ {
		oid := w.oids[next]
		data, tid, err := store.Load(ctx, oid)
		var none *zodb.POSKeyError
		if errors.As(err, &none) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, at, fmt.Errorf("object %v: %w", oid, err)
		}
		out, changed, err := w.rewriteOne(oid, data)
		if err != nil {
			return nil, at, fmt.Errorf("object %v, which others have changed meanwhile: %w", oid, err)
		}
		if changed {
			changes = append(changes, Change{oid, tid, out})
			size += len(out)
		}
	}
	return changes, next, nil
}

// Add adds what another round did.
func (r *Rewritten) Add(o *Rewritten) {
	r.Done = o.Done
	r.Objects += o.Objects
	r.Conflicts += o.Conflicts
	r.Transactions = append(r.Transactions, o.Transactions...)
	r.Failed = o.Failed // of the file as it is
	for _, c := range o.Changes {
		i := slices.IndexFunc(r.Changes, func(mine ClassChange) bool { return mine.From == c.From && mine.To == c.To })
		if i < 0 {
			r.Changes = append(r.Changes, c)
			continue
		}
		r.Changes[i].Objects += c.Objects
		r.Changes[i].References += c.References
		r.Changes[i].Values += c.Values
	}
}
