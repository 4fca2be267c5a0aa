package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A pathFinder finds by which paths objects are reached from the root: all references of a storage have to be read for
// that.
type pathFinder struct {
	source  string // a data file or the admin address of a node; empty: paths were not asked for
	storage string // there
	tls     *tlsFlags
	bar     *progress
	// more adds the paths of objects that the source does not have; nil: nobody knows more.
	more func(ctx context.Context, paths map[zodb.Oid]string) error
}

func (f *pathFinder) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.source, "paths", "", "show by which paths objects are reached: read all references in this "+
		"`ADDR|Data.fs`")
}

// check looks whether there is such a file or address, before anything else is done.
func (f *pathFinder) check(ctx context.Context) error {
	if f.source == "" {
		return nil
	}
	if !isNode(f.source) {
		if _, err := os.Stat(f.source); err != nil {
			return cannotOpen(fmt.Errorf("--paths: %w", err))
		}
		return nil
	}
	if _, err := f.tls.adminAddress(ctx, f.source); err != nil {
		return badAddress(fmt.Errorf("--paths: %w", err))
	}
	return nil
}

// add notes the paths of objects, of those first that are listed first: at most inside.MaxOids.
func (f *pathFinder) add(ctx context.Context, lists ...[]rewind.Object) error {
	if f.source == "" {
		return nil
	}
	q := inside.Question{Ask: inside.AskPaths, Limit: inside.MaxOids, Oids: pathOids(lists)}
	finds, err := f.ask(ctx, q)
	if err != nil {
		return err
	}
	paths := make(map[zodb.Oid]string)
	for i := range finds.Objects {
		paths[finds.Objects[i].Oid] = pathText(finds.Objects[i].Path)
	}
	if f.more != nil {
		if err := f.more(ctx, paths); err != nil {
			return err
		}
	}
	for _, list := range lists {
		for i := range list {
			if path, ok := paths[list[i].Oid]; ok {
				list[i].Path = &path
			}
		}
	}
	return nil
}

// pathOids are the objects whose paths are asked for. Those of few objects come first: what was edited, before the
// indexes that followed.
func pathOids(lists [][]rewind.Object) (oids []zodb.Oid) {
	seen := make(map[zodb.Oid]bool)
	for _, list := range lists {
		for _, g := range groupObjects(list) {
			for _, o := range g.objects[:min(len(g.objects), maxOids)] {
				if !seen[o.Oid] {
					seen[o.Oid] = true
					oids = append(oids, o.Oid)
				}
			}
		}
	}
	for _, o := range slices.Concat(lists...) {
		if !seen[o.Oid] {
			seen[o.Oid] = true
			oids = append(oids, o.Oid)
		}
	}
	return oids[:min(len(oids), inside.MaxOids)]
}

// ask reads the file, or has a node do that.
func (f *pathFinder) ask(ctx context.Context, q inside.Question) (*inside.Finds, error) {
	defer f.bar.clear()
	if !isNode(f.source) {
		answer, err := inside.Answer(ctx, vfs.CleanPath(f.source), q, inside.Options{Progress: f.bar.update})
		if err != nil {
			return nil, asOpenError(err)
		}
		return finds(answer)
	}
	addr, err := f.tls.adminAddress(ctx, f.source)
	if err != nil {
		return nil, badAddress(err)
	}
	dial, err := f.tls.dialer(addr)
	if err != nil {
		return nil, err
	}
	document, err := admin.AskInside(ctx, dial, f.storage, &q,
		func(p admin.VerifyProgress) { f.bar.update(p.Done, p.Total) })
	if err != nil {
		return nil, asked("question about paths", addr, err)
	}
	answer, err := q.DecodeAnswer(document)
	if err != nil {
		return nil, asked("answer", addr, err)
	}
	return finds(answer)
}

func finds(answer any) (*inside.Finds, error) {
	if f, ok := answer.(*inside.Finds); ok {
		return f, nil
	}
	return nil, errors.New("the answer about paths is another one")
}

// pathText is a path as one text, empty where the root does not lead there.
func pathText(path inside.Path) string {
	if len(path) == 0 {
		return ""
	}
	return path.String()
}
