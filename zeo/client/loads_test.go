package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// inBoth runs a test with a connection in each encoding.
func inBoth(t *testing.T, test func(t *testing.T, c *client.Conn)) {
	t.Helper()
	for name, msgpack := range map[string]bool{"pickle": false, "msgpack": true} {
		t.Run(name, func(t *testing.T) {
			addr, _ := serve(t, zeo.Options{Msgpack: msgpack}, zeo.StorageOptions{})
			test(t, dial(t, client.Options{AsyncBegin: true}, addr))
		})
	}
}

// upTo returns the oids from 1 to n, one after the other.
func upTo(n zodb.Oid) func() (zodb.Oid, bool) {
	oid := zodb.Oid(0)
	return func() (zodb.Oid, bool) {
		oid++
		return oid, oid <= n
	}
}

func TestManyLoadsFindTheirObjects(t *testing.T) {
	inBoth(t, func(t *testing.T, c *client.Conn) {
		t.Helper()
		const objects, size = 500, 1000 // more than one buffer holds
		text := func(oid zodb.Oid) string { return strings.Repeat(fmt.Sprint(oid, " "), size) }
		txn := begin(t, c, zodb.TxnMeta{})
		for oid := range zodb.Oid(objects) {
			store(t, txn, oid+1, 0, text(oid+1))
		}
		tid, err := txn.Commit(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, depth := range []int{0, 1, 7, 10_000} {
			var found, missing zodb.Oid
			err := c.Loads(within(t), depth, upTo(objects+3), func(oid zodb.Oid, r client.Revision, err error) {
				var none *zodb.POSKeyError
				switch {
				case errors.As(err, &none) && none.Oid == oid && oid > objects:
					missing++
				case err != nil || r.Tid != tid || r.Next != 0 || string(r.Data) != text(oid):
					t.Errorf("oid %v: %v, %d bytes, %v", oid, r.Tid, len(r.Data), err)
				default:
					found++
				}
			})
			if err != nil || found != objects || missing != 3 {
				t.Errorf("depth %d: %d objects found and %d missing, want %d and 3: %v", depth, found, missing,
					objects, err)
			}
		}
		if err := c.Loads(within(t), 4, upTo(0), nil); err != nil {
			t.Errorf("the loads of nothing: %v", err)
		}
	})
}

func TestTheSameObjectIsLoadedByManyAtATime(t *testing.T) {
	inBoth(t, func(t *testing.T, c *client.Conn) {
		t.Helper()
		tid := commit(t, c, 1, 0, "one")
		const n = 20
		answers := make(chan error, n)
		for range n {
			go func() {
				r, err := c.Load(t.Context(), 1)
				if err == nil && (string(r.Data) != "one" || r.Tid != tid) {
					err = fmt.Errorf("loaded %+v", r)
				}
				answers <- err
			}()
		}
		for range n {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestLoadsEndWithTheConnection(t *testing.T) {
	for name, end := range map[string]func(cancel context.CancelFunc, c *client.Conn){
		"context": func(cancel context.CancelFunc, _ *client.Conn) { cancel() },
		"close":   func(_ context.CancelFunc, c *client.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			called := make(chan struct{}, 10)
			c := dial(t, client.Options{}, play(t, func(m string) (pickle.Value, verdict) {
				if m == "loadBefore" {
					called <- struct{}{}
				}
				return at("loadBefore", keepsQuiet)(m)
			}))
			go func() {
				<-called
				end(cancel, c)
			}()
			err := c.Loads(ctx, 3, upTo(10), func(zodb.Oid, client.Revision, error) { t.Error("nothing was answered") })
			if err == nil {
				t.Error("loads that have no answers ended without an error")
			}
		})
	}
}

func TestABlobIsFetchedAsItWasStored(t *testing.T) {
	inBoth(t, func(t *testing.T, c *client.Conn) {
		t.Helper()
		for i, size := range []int{0, 1, 59_000, 59_001, 1_000_000} {
			oid, want := zodb.Oid(i+1), bytes.Repeat([]byte("b"), size)
			txn := begin(t, c, zodb.TxnMeta{})
			if err := txn.StoreBlob(within(t), oid, 0, []byte("record"), bytes.NewReader(want)); err != nil {
				t.Fatal(err)
			}
			tid, err := txn.Commit(within(t))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := c.FetchBlob(within(t), oid, tid, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes came back of a blob of %d, %v", got.Len(), size, err)
			}
			if err := c.FetchBlob(within(t), oid, tid+1, &got); err == nil {
				t.Error("a blob that nobody has stored was fetched")
			}
			if err := c.FetchBlob(within(t), oid, tid, full{}); size > 0 && !errors.Is(err, errFull) {
				t.Errorf("a blob was written to a disk that is full: %v", err)
			}
		}
	})
}

var errFull = errors.New("the disk is full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAPackHasEndedWhenItReturns(t *testing.T) {
	inBoth(t, func(t *testing.T, c *client.Conn) {
		t.Helper()
		first := commit(t, c, 1, 0, "one")
		second := commit(t, c, 1, first, "two")
		if err := c.Pack(within(t), second.Time().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		var none *zodb.POSKeyError
		if r, err := c.LoadBefore(within(t), 1, second); !errors.As(err, &none) {
			t.Errorf("the first revision is still there: %+v, %v", r, err)
		}
	})
}
