package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
)

// checkBlob reads a blob as a whole into to, and verifies it.
func (a *Archive) checkBlob(ctx context.Context, e *BlobEntry, to io.Writer) (err error) {
	r, err := a.openBlob(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, to), io.LimitReader(r, e.Size+1))
	switch {
	case err != nil:
		return err
	case n != e.Size:
		return damaged(e.name(), "it has not %d bytes", e.Size)
	case Digest(sum.Sum(nil)) != e.Digest:
		return damaged(e.name(), "its content has another digest than %v…", e.Digest.String()[:8])
	}
	return nil
}

// openBlob opens the content of a blob.
func (a *Archive) openBlob(ctx context.Context, e *BlobEntry) (io.ReadCloser, error) {
	r, err := a.store.Read(ctx, e.name(), 0, -1)
	if missing(err) {
		return nil, &LostError{e.name(), fmt.Sprintf("the blob of oid %v tid %v", e.Oid, e.Tid), err}
	}
	if err != nil || !e.Age {
		return r, err
	}
	plain, err := a.packer.decrypt(r)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", e.name(), err), r.Close())
	}
	return &struct {
		io.Reader
		io.Closer
	}{plain, r}, nil
}

// A VerifyReport is what a verification has read.
type VerifyReport struct {
	Generations []uint64 `json:"generations"`
	Segments    uint64   `json:"segments"`
	Bytes       int64    `json:"bytes"` // of data files
	Blobs       uint64   `json:"blobs"`
	BlobBytes   int64    `json:"blob_bytes"`
	Missing     uint64   `json:"blobs_missing"` // that the nodes did not have
	// Encrypted says that contents could not be read, because there is no identity: only what is stored was verified.
	Encrypted  bool     `json:"encrypted"`
	Incomplete []uint64 `json:"incomplete"` // generations that are not complete yet
	Problems   []string `json:"problems"`
}

// maxProblems is how many a report lists.
const maxProblems = 100

func (r *VerifyReport) problem(err error) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, err.Error())
	}
}

// Verify reads everything that moments are restored from once, and recomputes all digests. It needs no room.
func (a *Archive) Verify(ctx context.Context, atOnce int, tell func(*VerifyReport)) (*VerifyReport, error) {
	v := &verifier{a: a, atOnce: atOnce, tell: tell, report: &VerifyReport{Problems: []string{}},
		seen: map[SegmentID]Place{}, blobs: map[string]bool{}}
	numbers, err := a.numbers(ctx)
	if err != nil {
		return nil, err
	}
	if len(numbers) == 0 {
		v.report.problem(errors.New("the archive has no generation: nothing can be restored"))
	}
	for _, n := range numbers {
		if err := v.generation(ctx, n); err != nil {
			return v.report, err
		}
	}
	if len(v.report.Incomplete) == len(numbers) && len(numbers) > 0 {
		v.report.problem(errors.New("no generation is complete: nothing can be restored yet"))
	}
	return v.report, nil
}

type verifier struct {
	a      *Archive
	atOnce int
	tell   func(*VerifyReport)
	report *VerifyReport
	seen   map[SegmentID]Place // segments that were read, and where they end
	blobs  map[string]bool     // blobs likewise
}

// generation verifies what was not read with an earlier one. What is wrong with it is a problem, and no error.
func (v *verifier) generation(ctx context.Context, n uint64) error {
	m, err := v.a.manifest(ctx, n)
	if missing(err) { // it was deleted meanwhile
		return nil
	}
	if err != nil {
		return v.wrong(ctx, err)
	}
	p, err := v.a.path(ctx, m)
	if err != nil {
		return v.wrong(ctx, err)
	}
	v.report.Generations = append(v.report.Generations, n)
	var at Place
	first := uint64(0)
	for first < p.Len() {
		place, is := v.seen[p.ID(first)]
		if !is {
			break
		}
		at = place
		first++
	}
	if first >= p.shared() && first == p.shared() && at != m.Start {
		v.report.problem(damaged(generationName(n), "its parts do not end where it begins"))
	}
	err = (&reader{path: p, atOnce: v.atOnce}).each(ctx, first, p.Len(), at, func(i uint64, s *Segment) error {
		at = s.place()
		if i+1 == p.shared() && at != m.Start {
			v.report.problem(damaged(generationName(n), "its parts do not end where it begins"))
		}
		v.seen[s.ID] = at
		v.report.Segments++
		v.report.Bytes += s.To - s.From
		v.report.Encrypted = v.report.Encrypted || s.Closed
		return v.blobsOf(ctx, s)
	})
	if err != nil {
		return v.wrong(ctx, err)
	}
	if at.End < m.Whole || at.End == 0 {
		v.report.Incomplete = append(v.report.Incomplete, n)
	}
	return nil
}

// wrong notes what is wrong, unless it is that the archive cannot be read at all.
func (v *verifier) wrong(ctx context.Context, err error) error {
	var format *FormatError
	var lost *LostError
	if ctx.Err() != nil || !errors.As(err, &format) && !errors.As(err, &lost) {
		return err
	}
	v.report.problem(err)
	return nil
}

func (v *verifier) blobsOf(ctx context.Context, s *Segment) error {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(v.atOnce)
	errs := make([]error, len(s.Blobs))
	for i := range s.Blobs {
		e := &s.Blobs[i]
		if e.Size == NoBlob {
			v.report.Missing++
			continue
		}
		if v.blobs[e.name()] {
			continue
		}
		v.blobs[e.name()] = true
		v.report.Blobs++
		v.report.BlobBytes += e.Size
		g.Go(func() error {
			if e.Age && len(v.a.packer.keys.Identities) == 0 {
				_, errs[i] = v.a.store.Stat(inner, e.name())
				if missing(errs[i]) {
					errs[i] = &LostError{e.name(), s.ID.String(), errs[i]}
				}
				return nil
			}
			errs[i] = v.a.checkBlob(inner, e, io.Discard)
			return nil
		})
	}
	_ = g.Wait() // none fails: each has its own
	for _, err := range errs {
		if err != nil {
			if err := v.wrong(ctx, err); err != nil {
				return err
			}
		}
	}
	if v.tell != nil {
		v.tell(v.report)
	}
	return nil
}
