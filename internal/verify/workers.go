package verify

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/references"
	"github.com/zrsd/zrsd/zodb"
)

// A digester computes the chain of a file again, from the batches of a collector.
type digester struct {
	chain *hashchain.Recompute
	found []contradiction
	sum   hash.Hash

	digest zodb.Digest // of the last transaction

	// Of a second reading of a part.
	skip    zodb.Tid                   // transactions up to it are not digested
	skipped func(zodb.Tid)             // is told of them; nil: nobody is
	each    func(hashchain.Place) bool // is told each point, and says whether to go on; nil: nobody is
}

func newDigester(chain *hashchain.Recompute) *digester {
	return &digester{chain: chain, sum: sha256.New()}
}

// A contradiction is where the chain is not what it was.
type contradiction struct {
	hashchain.Contradiction
	pos     int64 // up to where it is
	located bool  // by another node
}

// maxContradictions bounds what is kept of a file that is another one.
const maxContradictions = 1000

func (d *digester) work(b *batch) {
	for _, s := range b.steps {
		if !s.ends {
			d.sum.Write(b.buf[s.from:s.to])
			continue
		}
		d.ends(s.end)
	}
}

func (d *digester) ends(txn ended) {
	var digest *zodb.Digest
	if txn.whole {
		digest = &d.digest
		d.sum.Sum(digest[:0])
	}
	d.sum.Reset()
	c := d.chain.Take(txn.tid, txn.status, digest, txn.pos)
	if c != nil && len(d.found) < maxContradictions {
		d.found = append(d.found, contradiction{Contradiction: *c, pos: txn.pos})
	}
}

// start has the batches of a collector worked on, by two goroutines, until end is called, which waits for them. A
// collector that has finished has had all its batches back.
func (c *collector) start(d *digester) (end func()) {
	toScan := make(chan *batch, batches)
	var over sync.WaitGroup
	over.Go(func() {
		c.p.opt.thread(func() {
			defer close(toScan)
			for b := range c.toDigest {
				d.work(b)
				toScan <- b // there is room for all batches
			}
		})
	})
	over.Go(func() {
		c.p.opt.thread(func() {
			defer close(c.scanned)
			var scanner references.Scanner
			for b := range toScan {
				scan(c.p.opt.Logger, &scanner, b)
				c.scanned <- b // likewise
			}
		})
	})
	return func() {
		c.closeOnce.Do(func() { close(c.toDigest) })
		over.Wait()
	}
}

// scan finds what the records of a batch refer to. A panic over the data of a record is an error of that record.
func scan(log hclog.Logger, scanner *references.Scanner, b *batch) {
	for i := range b.records {
		rec := &b.records[i]
		refs := b.refs
		rec.err = recovered.Do(log, "finding references for a verification", func() (err error) {
			refs, err = scanner.Scan(b.buf[rec.from:rec.to], b.refs)
			return err
		})
		if rec.err != nil {
			continue
		}
		b.refs, rec.refs = refs, len(refs)-len(b.refs)
	}
}

// redigest digests one transaction of a second reading. The error is errRead when there is no more to be read.
func (p *pass) redigest(in *filestorage.Inspector, txn *filestorage.RawTransaction, d *digester) error {
	head, err := zodb.AppendDigestHead(nil, &txn.Meta)
	if err != nil {
		return err
	}
	d.sum.Write(head)
	for rec, err := range in.Records() {
		if err != nil {
			return err
		}
		size, data, err := in.Resolved(rec)
		if err != nil {
			return err
		}
		head = zodb.AppendDigestRecord(head[:0], rec.Oid, rec.Tid, size)
		d.sum.Write(head)
		if size > 0 {
			if _, err := io.Copy(d.sum, data); err != nil {
				return err
			}
		}
	}
	d.ends(ended{txn.Meta.Tid, txn.Meta.Status, txn.End(), true})
	if d.each == nil {
		return nil
	}
	_, _, point, known := d.chain.Recomputed()
	if known && txn.Meta.Status == zodb.StatusCommitted && !d.each(hashchain.Place{Point: point, Pos: txn.End()}) {
		return errRead
	}
	return nil
}
