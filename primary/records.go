package primary

import (
	"errors"
	"io"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// aboutRecords answers which of some revisions the data file has now.
func (c *native) aboutRecords(query *protocol.RecordQuery) (*protocol.RecordAnswer, error) {
	if err := query.Check(); err != nil {
		return nil, goodbye("a question about records: %v", err)
	}
	if c.p.opt.HasRevision == nil {
		return &protocol.RecordAnswer{Unknown: "it does not tell which records it has"}, nil
	}
	answer := new(protocol.RecordAnswer)
	i := 0
	for oid, tid := range query.All() {
		there, err := c.p.opt.HasRevision(oid, tid)
		if err != nil {
			c.log.Info("a record that another node asks for cannot be looked up", "oid", oid, "tid", tid, "error", err)
			return &protocol.RecordAnswer{Unknown: "a record cannot be read"}, nil
		}
		if there {
			answer.There = append(answer.There, i)
		}
		i++
	}
	return answer, nil
}

// Revisions are the records of a data file, by object and transaction: a *filestorage.Storage. Its methods may be
// called concurrently. A *zodb.POSKeyError says that there is no such record.
type Revisions interface {
	// ReadRevision reads data from an offset, and returns the size of all of them; io.EOF where they end before b does.
	ReadRevision(b []byte, oid zodb.Oid, tid zodb.Tid, off int64) (n int, size int64, err error)
	// TransactionText returns user, description and extension of the transaction.
	TransactionText(oid zodb.Oid, tid zodb.Tid) ([]byte, error)
}

// record answers with a part of the data of a record. What cannot be read here is as good as missing: another node may
// have it.
func (r *rangeSender) record(m *protocol.RecordRequest) error {
	if !r.lends || r.c.p.opt.Revisions == nil {
		return goodbye("the other side asked for the data of a record, which are not served on this connection")
	}
	size, data, err := r.readRecord(m)
	if err != nil {
		if missing := (*zodb.POSKeyError)(nil); !errors.As(err, &missing) {
			r.c.log.Info("a record that another node asks for cannot be read", "oid", m.Oid, "tid", m.Tid, "error", err)
		}
		size, data = protocol.NoRecord, nil
	}
	rest, err := r.stream.AnswerRecord(m, size, data)
	if err != nil {
		return err
	}
	return r.send(rest)
}

func (r *rangeSender) readRecord(m *protocol.RecordRequest) (size int64, data []byte, err error) {
	if m.Text {
		text, err := r.c.p.opt.Revisions.TransactionText(m.Oid, m.Tid)
		from := min(m.Offset, int64(len(text)))
		return int64(len(text)), text[from:min(from+m.Length, int64(len(text)))], err
	}
	data = r.room(m.Length)
	n, size, err := r.c.p.opt.Revisions.ReadRevision(data, m.Oid, m.Tid, m.Offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return size, data[:n], err
}
