package blobcache

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

const (
	cleanPatience = time.Minute // for the answer of a node
	cleanBatch    = 256         // objects about which all nodes are asked at once
	cleanRate     = 100         // objects removed in a second
)

var _ [protocol.MaxRecordQuery - cleanBatch]struct{} // a batch is one question

// An Asked is a node that is asked which records it has.
type Asked struct {
	Name string
	Ask  func(context.Context, *protocol.RecordQuery) (*protocol.RecordAnswer, error)
}

// remove removes what is due, in batches, before each of which everything is asked again. It reports whether something
// of that stays because somebody needs it.
func (c *Cleaner) remove(ctx context.Context, claim Claim, due []unneededObject) (kept bool, err error) {
	removed := 0
	for rest := due; len(rest) > 0 && err == nil; {
		batch := rest[:min(cleanBatch, len(rest))]
		rest = rest[len(batch):]
		var n int
		n, err = c.removeBatch(ctx, claim, batch)
		removed += n
	}
	if removed > 0 {
		c.opt.Logger.Info("objects of blobs were removed from the object store", "objects", removed, "unneeded_for",
			c.opt.Grace)
	}
	return removed < len(due), err
}

func (c *Cleaner) removeBatch(ctx context.Context, claim Claim, batch []unneededObject) (removed int, err error) {
	if now, leads := c.opt.Claim(); !leads || now != claim {
		return 0, errNotLeading
	}
	if err := claim.mayRemove(ctx, c.opt.Objects); err != nil {
		return 0, err
	}
	kept, err := c.keptByOthers(ctx, batch)
	if err != nil {
		return 0, err
	}
	for i, o := range batch {
		if kept[i] {
			continue
		}
		done, err := c.removeOne(ctx, o)
		if err != nil {
			return removed, err
		}
		if done {
			removed++
		}
	}
	return removed, nil
}

// removeOne removes an object, unless the storage has it by now.
func (c *Cleaner) removeOne(ctx context.Context, o unneededObject) (done bool, err error) {
	if err := c.pace.Wait(ctx); err != nil {
		return false, err
	}
	if has, err := c.opt.Has(o.oid, o.tid); has || err != nil {
		return false, err
	}
	if !c.opt.Leads() {
		return false, errNotLeading
	}
	if err := c.opt.Objects.Store.Delete(ctx, Key(o.oid, o.tid)); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Removed++
	c.stats.RemovedBytes += o.size
	c.stats.Unneeded--
	c.stats.UnneededBytes -= o.size
	return true, nil
}

// keptByOthers asks all other nodes which of these objects their data files still need: they may pack later, or show
// an older state. A node that cannot be asked may need all.
func (c *Cleaner) keptByOthers(ctx context.Context, batch []unneededObject) (kept map[int]bool, err error) {
	kept = map[int]bool{}
	query := new(protocol.RecordQuery)
	for _, o := range batch {
		query.Add(o.oid, o.tid)
	}
	for _, other := range c.opt.Others() {
		answer, err := ask(ctx, other, query)
		if err != nil {
			return nil, fmt.Errorf("ask node %s which blobs it needs: %w", other.Name, err)
		}
		for _, i := range answer.There {
			kept[i] = true
		}
	}
	return kept, nil
}

func ask(ctx context.Context, other Asked, query *protocol.RecordQuery) (*protocol.RecordAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanPatience)
	defer cancel()
	return other.Ask(ctx, query)
}
