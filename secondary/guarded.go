package secondary

import (
	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/zodb"
)

// guarded decodes what the primary sends. A panic over that is the end of the stream; one of the storage that what was
// decoded goes into is none of these, and ends the process.
type guarded struct {
	decoder
	log hclog.Logger
}

func (g guarded) Next() (txn zodb.Transaction, err error) {
	err = recovered.Do(g.log, "decoding what the primary sends", func() (err error) {
		txn, err = g.decoder.Next()
		return err
	})
	if err != nil {
		return nil, err
	}
	return guardedTxn{txn, g.log}, nil
}

type guardedTxn struct {
	zodb.Transaction
	log hclog.Logger
}

func (t guardedTxn) NextRecord() (rec *zodb.Record, err error) {
	err = recovered.Do(t.log, "decoding what the primary sends", func() (err error) {
		rec, err = t.Transaction.NextRecord()
		return err
	})
	return rec, err
}
