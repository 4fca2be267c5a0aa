package secondary_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// Follow a primary: keep a copy of its storage, and look at each transaction that arrives.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	source, err := filestorage.Open(ctx, filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	addr, stop := servePrimary(ctx, source)
	defer stop()
	commit(ctx, source, 1, "committed before")

	replica, err := filestorage.Open(ctx, filepath.Join(dir, "copy.fs"), filestorage.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer replica.Close()
	sec, err := secondary.Open(replica, secondary.Options{Addresses: []string{addr}, Name: "example"})
	if err != nil {
		log.Fatal(err)
	}
	following, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- sec.Run(following) }() // until its context ends, whatever happens to the connection

	for txn, err := range replica.Follow(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		meta := txn.Meta()
		fmt.Printf("%s:", meta.Description)
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf(" object %d, %d bytes", rec.Oid, rec.Size)
		}
		fmt.Println()
		if string(meta.Description) == "committed meanwhile" {
			break
		}
		commit(ctx, source, 2, "committed meanwhile")
	}
	end()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	fmt.Println("the copy is complete:", replica.LastTid() == source.LastTid())
	// Output:
	// committed before: object 1, 5 bytes
	// committed meanwhile: object 2, 5 bytes
	// the copy is complete: true
}

// servePrimary lets secondaries follow st until it is stopped. A real one keeps id and epochs of its storage for good.
func servePrimary(ctx context.Context, st *filestorage.Storage) (addr string, stop func()) {
	p := primary.New(st, primary.Options{Name: "example", Identity: func() (string, []protocol.Epoch) {
		return "1b4e28ba-2fa1-41d2-883f-0016d3cca427", []protocol.Epoch{{Number: 1}}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	return l.Addr().String(), func() {
		if err := errors.Join(p.Shutdown(ctx), <-ended); err != nil {
			log.Fatal(err)
		}
	}
}

func commit(ctx context.Context, st *filestorage.Storage, oid zodb.Oid, description string) {
	txn, err := st.Begin(ctx, &zodb.TxnMeta{Description: []byte(description)})
	if err != nil {
		log.Fatal(err)
	}
	if err := txn.Store(oid, 0, []byte("state")); err != nil {
		log.Fatal(errors.Join(err, txn.Abort()))
	}
	if _, err := txn.Finish(ctx, nil); err != nil {
		log.Fatal(errors.Join(err, txn.Abort()))
	}
}
