package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// rewound is how many transactions are taken out of a file of 2 GB.
const rewound = 1000

// rewinding takes the last transactions out of a large storage.
func (b *bench) rewinding(ctx context.Context, dir string) error {
	set := b.firstSet()
	set.Transactions *= 4
	s, err := generate(ctx, dir, set)
	if err != nil {
		return err
	}
	plan, err := b.surplus(ctx, s)
	if err != nil {
		return err
	}
	info, err := os.Stat(s.data)
	if err != nil {
		return err
	}
	site := &rewind.Storage{FS: vfs.OS{}, Data: s.data, Logger: hclog.NewNullLogger()}
	begin := time.Now()
	if err := site.Begin(plan); err != nil {
		return err
	}
	if _, err := site.Finish(ctx); err != nil {
		return err
	}
	took := time.Since(begin)
	begin = time.Now()
	st, err := filestorage.Open(ctx, s.data, filestorage.Options{MustExist: true})
	if err != nil {
		return err
	}
	opened := time.Since(begin)
	if st.LastTid() != plan.Last {
		err = errors.New("the rewind did not end where it should")
	}
	b.report.add("size of the file", float64(info.Size())/1e9, "GB")
	b.report.add("transactions that go", float64(b.scaled(rewound)), "transactions")
	b.report.atMost("rewind", took.Seconds(), "s", 2)
	b.report.add("opening the storage afterwards", opened.Seconds(), "s")
	return errors.Join(err, st.Close())
}

// surplus commits what is to be taken out again.
func (b *bench) surplus(ctx context.Context, s *source) (*state.Rewind, error) {
	st, err := workload.Open(ctx, s.data, "")
	if err != nil {
		return nil, err
	}
	plan := &state.Rewind{Last: st.LastTid(), Follow: []string{"a:1"}, Epochs: []protocol.Epoch{{Number: 1}}}
	for i := range b.scaled(rewound) {
		tid, err := change(ctx, st, zodb.Oid(1+i%100))
		if err != nil {
			return nil, errors.Join(err, st.Close())
		}
		if i == 0 {
			plan.First = tid
		}
		plan.Until = tid
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	keep, err := state.Open(vfs.OS{}, s.data)
	if err != nil {
		return nil, err
	}
	return plan, keep.Create()
}

// change commits one new revision of an object.
func change(ctx context.Context, st *filestorage.Storage, oid zodb.Oid) (zodb.Tid, error) {
	txn, err := st.Begin(ctx, &zodb.TxnMeta{})
	if err != nil {
		return 0, err
	}
	serial, err := st.GetTid(oid)
	if err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	if err := txn.Store(oid, serial, make([]byte, commitSize)); err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	return txn.Finish(ctx, nil)
}
