package filestorage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// Walk over all transactions of a Data.fs, and over their records. Read-only, it takes no lock and changes nothing, so
// a server may have the file open.
func ExampleStorage_Transactions() {
	ctx := context.Background()
	st, err := filestorage.Open(ctx, "../testdata/filestorage/undo-creation/Data.fs",
		filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	for txn, err := range st.Transactions(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		meta := txn.Meta()
		fmt.Printf("%v %s %q\n", meta.Tid, meta.Tid.Stamp(), meta.Description)
		for rec, err := range zodb.Records(txn) {
			if err != nil {
				log.Fatal(err)
			}
			if rec.Size == zodb.NoData {
				fmt.Printf("  %v is gone\n", rec.Oid)
				continue
			}
			data, err := io.ReadAll(rec.Data)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("  %v %q\n", rec.Oid, data)
		}
	}
	// Output:
	// 03f8658010000000 2024-05-06 08:00:03.750 UTC ""
	//   0000000000000000 "root"
	// 03f8658015555555 2024-05-06 08:00:04.999 UTC ""
	//   0000000000000001 "created"
	//   0000000000000000 "root -> 1"
	// 03f865801aaaaaaa 2024-05-06 08:00:06.249 UTC "undo"
	//   0000000000000001 is gone
	//   0000000000000000 "root"
	// 03f8658020000000 2024-05-06 08:00:07.500 UTC "undo"
	//   0000000000000001 "created"
	//   0000000000000000 "root -> 1"
	// 03f8658025555555 2024-05-06 08:00:08.749 UTC "undo"
	//   0000000000000001 is gone
	//   0000000000000000 "root"
	// 03f865802aaaaaaa 2024-05-06 08:00:09.999 UTC ""
	//   0000000000000002 "other"
}

// Make a storage, change an object in it, and read both revisions.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	st, err := filestorage.Open(ctx, filepath.Join(dir, "Data.fs"), filestorage.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	oid := st.NewOid()
	var serial zodb.Tid // of the revision that a change began from; 0: the object is new
	for _, state := range []string{"first", "second"} {
		if serial, err = commit(ctx, st, oid, serial, state); err != nil {
			log.Fatal(err)
		}
	}
	data, _, err := st.Load(oid)
	if err != nil {
		log.Fatal(err)
	}
	before, err := st.LoadBefore(oid, serial)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("now %q, before %q\n", data, before.Data)

	_, err = commit(ctx, st, oid, before.Tid, "third") // from a revision that is not the current one
	var conflict *zodb.ConflictError
	fmt.Println("conflict:", errors.As(err, &conflict))
	// Output:
	// now "second", before "first"
	// conflict: true
}

func commit(ctx context.Context, st *filestorage.Storage, oid zodb.Oid, serial zodb.Tid, data string) (
	zodb.Tid, error,
) {
	txn, err := st.Begin(ctx, &zodb.TxnMeta{User: []byte("an example")})
	if err != nil {
		return 0, err
	}
	if err := txn.Store(oid, serial, []byte(data)); err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	tid, err := txn.Finish(ctx, nil)
	if err != nil {
		return 0, errors.Join(err, txn.Abort())
	}
	return tid, nil
}

// Follow a Data.fs that another process writes, such as a Python ZEO server: here it is this one.
func ExampleAttach() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	path := filepath.Join(dir, "Data.fs")
	writer, err := filestorage.Open(ctx, path, filestorage.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()

	file, err := filestorage.Attach(ctx, path, filestorage.AttachOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if _, err := commit(ctx, writer, 1, 0, "news"); err != nil {
		log.Fatal(err)
	}
	for txn, err := range file.Follow(ctx, 0) { // waits for more, until ctx ends or the file is closed
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("a transaction of %s\n", txn.Meta().User)
		break
	}
	// Output: a transaction of an example
}

// Look at a Data.fs as it stands, with offsets, also where it is damaged.
func ExampleInspect() {
	in, err := filestorage.Inspect(nil, "../testdata/filestorage/corrupt-length/Data.fs")
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	for txn, err := range in.Transactions() {
		var damage *zodb.CorruptError
		if errors.As(err, &damage) {
			fmt.Printf("damage at %d: %s instead of %s\n", damage.Pos, damage.Got, damage.Want)
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d to %d: %v\n", txn.Pos, txn.End(), txn.Meta.Tid)
	}
	// Output:
	// 4 to 148: 03f8658010000000
	// 148 to 301: 03f8658015555555
	// damage at 463: 286090177305116672 instead of the length 162 of the transaction at 301 again
}
