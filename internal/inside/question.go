package inside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/zodb"
)

// What can be asked.
const (
	AskClasses = "classes" // Census
	AskRefs    = "refs"    // Refs
	AskOid     = "oid"     // Finds
	AskClass   = "class"   // Finds
	AskTid     = "tid"     // Finds
	AskText    = "text"    // Finds
	AskPaths   = "paths"   // Finds
	AskUsage   = "usage"   // Usage
	AskGraph   = "graph"   // Graph
)

// A Question is one about a storage, as commands and the admin port ask it.
type Question struct {
	Ask    string
	Oid    zodb.Oid
	Oids   []zodb.Oid // for paths: at most MaxOids
	Tid    zodb.Tid
	Text   string            // class, or text
	Limit  int               // of each list
	Depth  int               // of usage and graph
	Others map[string]string // for refs: Data.fs by the name of its database
}

// Bounds of a Question.
const (
	MaxLimit = 1_000_000
	MaxDepth = 1000
	MaxOids  = 500
)

// ErrQuestion is in the error of a question that cannot be answered as it is.
var ErrQuestion = errors.New("not a question about a storage")

// DecodeAnswer reads an answer from its JSON.
func (q *Question) DecodeAnswer(document []byte) (answer any, err error) {
	switch q.Ask {
	case AskClasses:
		answer = new(Census)
	case AskRefs:
		answer = new(Refs)
	case AskUsage:
		answer = new(Usage)
	case AskGraph:
		answer = new(Graph)
	default:
		answer = new(Finds)
	}
	err = json.Unmarshal(document, answer)
	return answer, err
}

// Answer opens the storage at a path, read-only and without a lock, and answers a question: *Census, *Refs, *Finds,
// *Usage or *Graph. It can be used beside the process that writes it.
func Answer(ctx context.Context, path string, q Question, opt Options) (any, error) {
	if q.Limit < 1 || q.Limit > MaxLimit || q.Depth < 0 || q.Depth > MaxDepth {
		return nil, fmt.Errorf("a limit of %d and a depth of %d: %w", q.Limit, q.Depth, ErrQuestion)
	}
	if len(q.Oids) > MaxOids {
		return nil, fmt.Errorf("%d oids, where %d can be asked for: %w", len(q.Oids), MaxOids, ErrQuestion)
	}
	opt.fill()
	if !opt.Yield {
		return q.open(ctx, path, opt)
	}
	var answer any
	done := make(chan error, 1)
	go func() {
		opt.begin()
		done <- recovered.Do(opt.Logger, "a question about what is inside", func() (err error) {
			answer, err = q.open(ctx, path, opt)
			return err
		})
	}()
	err := <-done
	return answer, err
}

func (q *Question) open(ctx context.Context, path string, opt Options) (any, error) {
	st, err := filestorage.Open(ctx, path, filestorage.Options{
		FS: opt.FS, ReadOnly: true, MustExist: true, Progress: opt.Progress,
	})
	if err != nil {
		return nil, err
	}
	answer, err := q.answer(ctx, st, opt)
	return answer, errors.Join(err, st.Close())
}

func (q *Question) answer(ctx context.Context, st *filestorage.Storage, opt Options) (any, error) {
	opt.noEdges = q.Ask == AskClasses
	s, err := Take(ctx, st, opt)
	if err != nil {
		return nil, err
	}
	switch q.Ask {
	case AskClasses:
		return s.Census(ctx, q.Limit)
	case AskRefs:
		return q.refs(ctx, s, opt)
	case AskOid:
		return s.FindOid(q.Oid, q.Tid, q.Limit)
	case AskClass:
		return s.FindClass(q.Text, q.Limit), nil
	case AskTid:
		return s.FindTid(ctx, q.Tid, q.Limit)
	case AskText:
		return q.text(ctx, s)
	case AskPaths:
		return s.FindPaths(q.Oids), nil
	case AskUsage:
		return s.Usage(q.Oid, q.Depth, q.Limit)
	case AskGraph:
		return s.Graph(q.Oid, q.Depth, q.Limit)
	}
	return nil, fmt.Errorf("%.40q: %w", q.Ask, ErrQuestion)
}

// text takes the name of a class for one, and all else as text.
func (q *Question) text(ctx context.Context, s *Survey) (*Finds, error) {
	if s.HasClass(q.Text) {
		return s.FindClass(q.Text, q.Limit), nil
	}
	return s.FindText(ctx, q.Text, q.Limit)
}

func (q *Question) refs(ctx context.Context, s *Survey, opt Options) (*Refs, error) {
	r := s.Refs(q.Limit)
	for name, path := range q.Others {
		if err := q.compare(ctx, s, r, name, path, opt); err != nil {
			return nil, fmt.Errorf("database %q at %s: %w", name, path, err)
		}
	}
	return r, nil
}

// compare looks into the storage of another database.
func (q *Question) compare(ctx context.Context, s *Survey, r *Refs, name, path string, opt Options) (err error) {
	for i := range r.Databases {
		if r.Databases[i].Name != name {
			continue
		}
		st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
		if err != nil {
			return err
		}
		other, err := Take(ctx, st, opt)
		if err == nil {
			s.Compare(&r.Databases[i], other, q.Limit)
		}
		return errors.Join(err, st.Close())
	}
	st, err := filestorage.Open(ctx, path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		return err
	}
	r.Databases = append(r.Databases, Database{Name: name, Compared: true, // nothing refers to it
		Missing: []CrossReference{}, Lost: []CrossReference{}})
	return st.Close()
}
