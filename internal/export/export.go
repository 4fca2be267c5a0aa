package export

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/record"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// Options of Export.
type Options struct {
	At       zodb.Tid // the moment; zodb.MaxTid: now
	Format   string   // one of Formats
	Output   string   // a folder, for SQLite a file
	Force    bool     // replace what an earlier export has made there
	Classes  record.ClassPatterns
	Paths    bool                    // with the path of each object
	All      bool                    // also objects that the root does not lead to
	Progress func(done, total int64) // while the file is read, in bytes; may be nil
	FS       vfs.FS                  // the disk of a folder; nil: the real one, on which SQLite writes always
}

// A Table is one that was written.
type Table struct {
	Name    string   `json:"name"`
	Classes []string `json:"classes"` // that its objects have
	Objects int64    `json:"objects"`
	Rows    int64    `json:"rows"`
	Columns []Column `json:"columns"`
}

// An Unread object has no row: its record cannot be read.
type Unread struct {
	Oid   zodb.Oid `json:"oid"`
	Class string   `json:"class"`
	Why   string   `json:"why"`
}

// A Summary is what was exported. It is in the export, too.
type Summary struct {
	Source    string    `json:"source"`
	Format    string    `json:"format"`
	Tid       zodb.Tid  `json:"tid"` // of the last transaction
	Time      time.Time `json:"time"`
	Objects   int64     `json:"objects"`
	Rows      int64     `json:"rows"`
	Tables    []Table   `json:"tables"`
	Unread    []Unread  `json:"unread"` // the first of these
	UnreadAll int64     `json:"all_unread"`
}

// A writer makes an export at a temporary place. Its tables are written one after the other.
type writer interface {
	table(ctx context.Context, name string, columns []Column) (tableWriter, error)
	// finish writes the summary and makes all durable.
	finish(ctx context.Context, sum *Summary) error
	// abort closes what is open.
	abort() error
}

// A tableWriter takes the rows of a table: a value for each column, nil for none.
type tableWriter interface {
	put(ctx context.Context, values []any) error
	close() error
}

// Formats are those of an export.
var Formats = []string{"jsonl", "sqlite", "parquet"}

const (
	batch      = 512     // objects that are decoded beside each other
	batchBytes = 8 << 20 // of their records; one that has more is alone
	maxNodes   = 2000000 // values of a record
	shownWrong = 100
)

// Export writes the objects of the storage at a path to opt.Output, which is there when all of it is durable, and not
// before. It reads beside whatever process writes the storage.
func Export(ctx context.Context, path string, opt Options) (*Summary, error) {
	out, err := prepare(vfs.OrOS(opt.FS), opt.Output, opt.Format != "sqlite", opt.Force)
	if err != nil {
		return nil, err
	}
	s, err := inside.OpenSurvey(ctx, path, opt.At, inside.Options{Progress: opt.Progress})
	if err != nil {
		return nil, err
	}
	e := &exporter{opt: &opt, survey: s, names: newNames(), sum: &Summary{
		Source: path, Format: opt.Format, Tid: s.LastTid(), Time: s.LastTid().Time().UTC(), Tables: []Table{},
		Unread: []Unread{},
	}}
	err = e.write(ctx, out)
	return e.sum, errors.Join(err, s.Close())
}

// An exporter is an Export under way.
type exporter struct {
	opt    *Options
	survey *inside.Survey
	names  names
	sum    *Summary
	to     writer
}

func (e *exporter) write(ctx context.Context, out *output) (err error) {
	if e.to, err = newWriter(out.disk, e.opt.Format, out.temporary); err != nil {
		return errors.Join(fmt.Errorf("begin the export in %s: %w", out.temporary, err), out.remove())
	}
	for _, members := range e.groups() {
		if err = e.table(ctx, members); err != nil {
			break
		}
	}
	if err == nil {
		err = e.to.finish(ctx, e.sum)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("export to %s: %w", out.temporary, err), e.to.abort(), out.remove())
	}
	return out.publish()
}

// groups are the members of classes by the tables that they belong into, in the order of names.
func (e *exporter) groups() (list [][]inside.Members) {
	byTable := make(map[string][]inside.Members)
	for _, m := range e.survey.Members(!e.opt.All) {
		if e.opt.Classes.Match(m.Class) {
			byTable[tableOf(m.Class)] = append(byTable[tableOf(m.Class)], m)
		}
	}
	for _, group := range byTable {
		list = append(list, group)
	}
	slices.SortFunc(list, func(a, b []inside.Members) int {
		return strings.Compare(tableOf(a[0].Class), tableOf(b[0].Class))
	})
	return list
}

// An object is one as it is decoded.
type object struct {
	oid  zodb.Oid
	tid  zodb.Tid
	rows []row
	err  error
}

// table writes the table of some classes. Its columns are known when all of it has been read once.
func (e *exporter) table(ctx context.Context, group []inside.Members) error {
	t := Table{}
	var oids []zodb.Oid
	for _, m := range group {
		t.Classes = append(t.Classes, m.Class)
		oids = append(oids, m.Oids...)
	}
	slices.Sort(oids)
	fixed := e.fixed(group[0].Class)
	found := newSchema(fixed)
	err := e.each(ctx, oids, func(o *object) error {
		if o.err != nil {
			e.unread(o, group)
			return nil //nolint:nilerr // it is told
		}
		t.Objects++
		for _, r := range o.rows {
			t.Rows++
			found.look(r)
		}
		return nil
	})
	if err != nil || t.Rows == 0 {
		e.sum.Objects += t.Objects
		return err
	}
	t.Name, t.Columns = e.names.unique(fileName(tableOf(group[0].Class))), found.columns()
	to, err := e.to.table(ctx, t.Name, t.Columns)
	if err != nil {
		return err
	}
	err = e.each(ctx, oids, func(o *object) error {
		if len(o.rows) == 0 {
			return nil
		}
		values := e.fixedValues(o, fixed)
		for _, r := range o.rows {
			if err := to.put(ctx, found.values(values, r)); err != nil {
				return err
			}
		}
		return nil
	})
	e.sum.Tables = append(e.sum.Tables, t)
	e.sum.Objects += t.Objects
	e.sum.Rows += t.Rows
	if err = errors.Join(err, to.close()); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}

// fixed are the columns that all rows of a class have.
func (e *exporter) fixed(class string) []Column {
	list := []Column{{"oid", Text}, {"tid", Text}, {"time", Timestamp}}
	if e.opt.Paths {
		list = append(list, Column{"path", Text})
	}
	if isTree(class) {
		list = append(list, Column{"tree", Text})
	}
	return list
}

func (e *exporter) fixedValues(o *object, fixed []Column) []any {
	list := []any{o.oid.String(), o.tid.String(), o.tid.Time().UTC()}
	for _, c := range fixed[len(list):] {
		switch path := e.survey.Path(o.oid); {
		case c.Name == "tree":
			list = append(list, e.survey.Top(o.oid, isTree).String())
		case path == nil:
			list = append(list, nil)
		default:
			list = append(list, path.String())
		}
	}
	return list
}

func (e *exporter) unread(o *object, group []inside.Members) {
	e.sum.UnreadAll++
	if len(e.sum.Unread) < shownWrong {
		e.sum.Unread = append(e.sum.Unread, Unread{o.oid, group[0].Class, o.err.Error()})
	}
}

// each calls do for objects in their order. They are decoded by all cores, a batch at a time.
func (e *exporter) each(ctx context.Context, oids []zodb.Oid, do func(*object) error) error {
	objects := make([]object, min(batch, len(oids)))
	for len(oids) > 0 {
		part := oids[:e.next(oids)]
		oids = oids[len(part):]
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i, oid := range part {
			group.Go(func() error {
				objects[i] = e.decode(oid)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i := range part {
			if err := do(&objects[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// next is how many of these objects, at least one, are decoded beside each other: their rows are in memory together.
func (e *exporter) next(oids []zodb.Oid) (n int) {
	bytes := int64(0)
	for n < min(batch, len(oids)) {
		if bytes += e.survey.RecordSize(oids[n]); n > 0 && bytes > batchBytes {
			break
		}
		n++
	}
	return n
}

var errLarge = fmt.Errorf("the record has more than %d values", maxNodes)

func (e *exporter) decode(oid zodb.Oid) object {
	data, tid, err := e.survey.Load(oid)
	o := object{oid: oid, tid: tid, err: err}
	if err != nil {
		return o
	}
	d, err := record.Decode(data, record.Limits{Nodes: maxNodes})
	switch {
	case err != nil:
		o.err = err
	case d.Cut:
		o.err = errLarge
	default:
		o.rows = rowsOf(d)
	}
	return o
}
