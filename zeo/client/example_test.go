package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// Be a client of a ZEO server: commit an object, load it, and be told what another client commits.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	addr, stop := serveStorage(ctx)
	defer stop()

	told := make(chan zodb.Oid, 1)
	conn, err := client.Dial(ctx, []string{addr}, client.Options{
		Invalidated: func(_ zodb.Tid, oids []zodb.Oid) { told <- oids[0] },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	oids, err := conn.NewOids(ctx)
	if err != nil {
		log.Fatal(err)
	}
	oid := oids[0]
	serial, err := storeState(ctx, conn, oid, 0, "first")
	if err != nil {
		log.Fatal(err)
	}
	rev, err := conn.Load(ctx, oid)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("loaded %q, committed by us: %t\n", rev.Data, rev.Tid == serial)

	other, err := client.Dial(ctx, []string{addr}, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	if _, err := storeState(ctx, other, oid, serial, "second"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("told of a change of our object:", <-told == oid)

	_, err = storeState(ctx, conn, oid, serial, "third")
	var conflict *zodb.ConflictError
	fmt.Println("our change is out of date:", errors.As(err, &conflict))
	// Output:
	// loaded "first", committed by us: true
	// told of a change of our object: true
	// our change is out of date: true
}

// storeState changes an object from the revision serial, 0 for a new object. ZODB's clients store pickles; the server
// takes any bytes.
func storeState(ctx context.Context, conn *client.Conn, oid zodb.Oid, serial zodb.Tid, data string) (zodb.Tid, error) {
	txn, err := conn.Begin(ctx, &zodb.TxnMeta{User: []byte("an example")})
	if err != nil {
		return 0, err
	}
	if err := txn.Store(ctx, oid, serial, []byte(data)); err != nil {
		return 0, errors.Join(err, txn.Abort(ctx))
	}
	tid, err := txn.Commit(ctx)
	if err != nil {
		return 0, errors.Join(err, txn.Abort(ctx))
	}
	return tid, nil
}

// serveStorage serves a new storage, under the name that clients ask for by default, until it is stopped.
func serveStorage(ctx context.Context) (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	st, err := filestorage.Open(ctx, filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		log.Fatal(err)
	}
	srv := zeo.New(zeo.Options{})
	withdraw, err := srv.Offer("1", st, zeo.StorageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- srv.Serve(ctx, l) }()
	return l.Addr().String(), func() {
		cancel()
		err := <-ended
		withdraw()
		srv.Close()
		if err := errors.Join(err, st.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}
