package verify

import (
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/zodb"
)

// A Suspect is a part of a copy in which something is damaged: a part of the data file, a blob, or the saved index.
type Suspect struct {
	Start    int64 // where a transaction begins, at or before From; 0: that is not known
	From, To int64 // of the data file, [From, To)

	Tid   *zodb.Tid // of the transaction, or of the blob; nil: not known
	Oid   *zodb.Oid // of the record, or of the blob; nil: not known
	Blob  bool      // it is the blob
	Index bool      // it is the saved index
	Exact bool      // it is known which byte of a record is wrong
	Found string    // what is wrong
}

// maxSuspects bounds what is kept of a file that is another one. What is left out the next pass finds.
const maxSuspects = 1000

func (p *pass) suspect(s Suspect) {
	if len(p.result.Suspects) < maxSuspects {
		p.result.Suspects = append(p.result.Suspects, s)
	}
}

// suspectFound notes where damage is that a check has found.
func (p *pass) suspectFound(f *check.Finding) {
	s := Suspect{Tid: f.Tid, Oid: f.Oid, Found: string(f.Kind) + ": " + f.Text}
	switch f.Kind {
	case check.KindIndexEntry, check.KindIndexFile:
		s.Index = true
	case check.KindBlobMissing:
		s.Blob = true
	default:
		if f.Pos == nil {
			return
		}
		s.From, s.To = *f.Pos, *f.Pos+1
		s.Start = p.reads.begun(s.From)
	}
	if f.Severity == check.Damage {
		p.suspect(s)
	}
}

// begun returns where the last transaction begins that the walk has come to, at or before pos; 0: that is not known.
func (c *collector) begun(pos int64) int64 {
	switch {
	case c.in == nil:
		return 0
	case c.in.Pos() <= pos:
		return c.in.Pos()
	case c.txn != nil && c.txn.Pos <= pos:
		return c.txn.Pos
	}
	return 0
}
