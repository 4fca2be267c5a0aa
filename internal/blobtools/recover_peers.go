package blobtools

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/heal"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// remote returns the connection with a node; nil where there is none.
func (r *recovery) remote(ctx context.Context, p heal.Peer) *hashchain.Remote {
	remote, asked := r.remotes[p.Name]
	if !asked {
		var err error
		if remote, err = p.Ask(ctx); err != nil {
			r.opt.Warn(fmt.Errorf("ask %s: %w", p.Name, err))
			remote = nil
		}
		r.remotes[p.Name] = remote
	}
	return remote
}

func (r *recovery) hangUp() {
	for _, remote := range r.remotes {
		if remote != nil {
			_ = remote.Close() // it was only asked
		}
	}
}

// noted asks another node what it has noted of a blob: whether that is this content, and whether it is anything at all.
func (r *recovery) noted(ctx context.Context, p heal.Peer, item *Recovered, c *content) (same, noted bool) {
	remote := r.remote(ctx, p)
	if remote == nil {
		return false, false
	}
	query := new(protocol.BlobQuery)
	query.Add(protocol.BlobDigest{Oid: item.Oid, Tid: item.Tid, Size: c.size, Sum: [16]byte(c.digest[:16])})
	answer, err := remote.Blobs(ctx, query)
	if err != nil {
		r.opt.Warn(fmt.Errorf("ask %s what it has noted of oid %v tid %v: %w", p.Name, item.Oid, item.Tid, err))
		return false, false
	}
	return answer.Known == 1 && len(answer.Other) == 0, answer.Known == 1
}

// askedAtOnce is how many blobs other nodes are asked for at a time: not more than a report of a healing has.
const askedAtOnce = 200

// askAll takes what is left from other nodes that have it, as a healing does: a node has to prove that its history is
// the same.
func (r *recovery) askAll(ctx context.Context) error {
	if len(r.waiting) == 0 {
		return nil
	}
	opt := r.opt.Heal
	opt.FS, opt.Path, opt.Peers, opt.Dry, opt.By = r.opt.FS, r.opt.Path, r.opt.Peers, r.opt.DryRun, "zrsd blobs recover"
	opt.Blobs, opt.Target = r.opt.Blobs, &target{r}
	var suspects []verify.Suspect
	for _, item := range r.waiting {
		suspects = append(suspects, verify.Suspect{Blob: true, Oid: &item.Oid, Tid: &item.Tid, Found: "missing"})
	}
	report, err := heal.Run(ctx, opt, suspects)
	if err != nil {
		return err
	}
	for i, item := range r.waiting { // suspects of one kind keep their order
		if err := r.settle(item.asked(&report.Items[i], r.opt.DryRun)); err != nil {
			return err
		}
	}
	r.waiting = nil
	return nil
}

// asked takes what became of a revision that other nodes were asked for.
func (i *Recovered) asked(it *heal.Item, dry bool) *Recovered {
	switch {
	case it.Result == heal.Sound: // a healing of the node was faster
		i.Result, i.Why = Recover, ""
	case it.Error != nil:
		i.Why += "; " + *it.Error
	case it.Peer != nil:
		i.From, i.Evidence, i.Size, i.Why = *it.Peer, *it.Peer, it.Length, ""
		i.Result = Recover
		if dry {
			i.Result = WouldDo
		}
	}
	return i
}

// A target lets a healing put blobs that are missing where they belong.
type target struct{ r *recovery }

var errOnlyBlobs = errors.New("only blobs are recovered")

// HasRevision is heal.Target.
func (t *target) HasRevision(oid zodb.Oid, tid zodb.Tid) (bool, error) {
	return t.r.rec.find(oid, tid) >= 0, nil
}

// Repair is heal.Target.
func (t *target) Repair(context.Context, *filestorage.Repair) error { return errOnlyBlobs }

// Reindex is heal.Target.
func (t *target) Reindex(context.Context) (int, error) { return 0, errOnlyBlobs }

// RepairBlob is heal.Target.
func (t *target) RepairBlob(b *filestorage.BlobRepair) error {
	in := summed(b.Content)
	return t.r.opt.Blobs.Restore(b.Oid, b.Tid, in, func() error {
		digest := in.digest()
		if in.size != b.Size || b.Digest != nil && *b.Digest != digest {
			return &filestorage.BlobContentError{Oid: b.Oid, Tid: b.Tid, Want: fmt.Sprintf("%d bytes", b.Size),
				Got: fmt.Sprintf("%d bytes with digest %x", in.size, digest[:8])}
		}
		return nil
	})
}
