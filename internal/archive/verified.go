package archive

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"
)

// A Verification is what a verification has found. It is kept in the archive, so that the nodes which write know of one
// that ran elsewhere.
type Verification struct {
	Format    int       `json:"format"`
	Archive   string    `json:"archive"`
	Begun     time.Time `json:"begun"` // what was archived later was perhaps not read
	Ended     time.Time `json:"ended"`
	By        string    `json:"by"`       // machine that verified
	Segments  uint64    `json:"segments"` // that were read
	Bytes     int64     `json:"bytes"`    // of data files
	BlobBytes int64     `json:"blob_bytes"`
	Encrypted bool      `json:"encrypted"` // contents were not read: there was no identity
	Problems  uint64    `json:"problems"`
	Problem   string    `json:"problem,omitempty"` // the first one
}

// Proves reports whether the verification has found that everything can be restored.
func (v *Verification) Proves() bool { return v.Problems == 0 && !v.Encrypted }

const (
	maxProblemText   = 1000 // bytes that are kept of a problem
	maxVerifications = 100  // that are looked at, and that prune keeps
)

// Record keeps what a verification has found that ran from begun to ended.
func (a *Archive) Record(ctx context.Context, r *VerifyReport, by string, begun, ended time.Time) error {
	v := Verification{
		Format: format, Archive: a.Identity.Archive, Begun: begun.UTC(), Ended: ended.UTC(), By: by,
		Segments: r.Segments, Bytes: r.Bytes, BlobBytes: r.BlobBytes, Encrypted: r.Encrypted,
		Problems: uint64(len(r.Problems)),
	}
	if len(r.Problems) > 0 {
		v.Problem = r.Problems[0][:min(len(r.Problems[0]), maxProblemText)]
	}
	b, err := encodeDocument(&v)
	if err == nil {
		_, err = a.store.Put(ctx, verificationName(ended, randomName()), bytes.NewReader(b))
	}
	if err != nil {
		return fmt.Errorf("keep in the archive what the verification has found: %w", err)
	}
	return nil
}

// Verifications returns the last verification, and the last one that proves that everything can be restored; nil where
// there is none. One that cannot be read proves nothing.
func (a *Archive) Verifications(ctx context.Context) (last, proof *Verification, err error) {
	names, err := a.verificationNames(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Backward(names[max(0, len(names)-maxVerifications):]) {
		v, err := a.verification(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		if v == nil {
			continue
		}
		if last == nil {
			last = v
		}
		if v.Proves() {
			return last, v, nil
		}
	}
	return last, nil, nil
}

// verification reads one; nil: it says nothing. It is no younger than its object, whatever the clock of the machine
// that verified said.
func (a *Archive) verification(ctx context.Context, name string) (*Verification, error) {
	o, err := a.store.Stat(ctx, name)
	if missing(err) {
		return nil, nil //nolint:nilnil // it was deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	b, err := read(ctx, a.store, name, 0, -1, maxManifest)
	if missing(err) {
		return nil, nil //nolint:nilnil // likewise
	}
	if err != nil {
		return nil, err
	}
	v := new(Verification)
	if err := decodeDocument(name, b, v); err != nil || v.Archive != a.Identity.Archive {
		return nil, nil //nolint:nilnil,nilerr // what is damaged, or of another archive, proves nothing
	}
	if !o.Changed.IsZero() && v.Begun.After(o.Changed) {
		v.Begun = o.Changed.UTC()
	}
	return v, nil
}

// verificationNames returns the names of all, in the order of time.
func (a *Archive) verificationNames(ctx context.Context) (names []string, err error) {
	for o, err := range a.store.List(ctx, verifications) {
		if err != nil {
			return nil, err
		}
		names = append(names, o.Key)
	}
	return names, nil
}

// oldVerifications deletes all but the newest.
func (p *pruner) oldVerifications(ctx context.Context) error {
	names, err := p.a.verificationNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-maxVerifications)] {
		if _, err := p.delete(ctx, name, 0); err != nil {
			return err
		}
	}
	return nil
}
