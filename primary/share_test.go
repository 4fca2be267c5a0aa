package primary

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// sharer is the hello of an empty secondary that sees the primary's blob directory.
func sharer() *protocol.Hello {
	h := hello(protocol.Position{})
	h.Capabilities = []string{"something newer", protocol.SharedBlobs}
	return h
}

// aBlob has one transaction without a blob and one with.
func aBlob() *memSource {
	src := newSource(memTxn{tid: tidAt(0), status: ' ', data: "plain"},
		memTxn{tid: tidAt(1), status: ' ', data: "blob record", blob: "content"})
	src.blobs = true
	return src
}

// A tokens counts the tokens that are in a directory.
type tokens struct{ there, put atomic.Int64 }

func (n *tokens) Put() (protocol.Token, func() error, error) {
	n.there.Add(1)
	n.put.Add(1)
	remove := func() error {
		n.there.Add(-1)
		return nil
	}
	return protocol.Token{Name: "0f", Digest: zodb.Digest{7}}, remove, nil
}

// blobsSeen reads n transactions and returns the records that say anything of a blob.
func (c *client) blobsSeen(n int) (seen []zodb.Record) {
	c.t.Helper()
	for range n {
		txn, err := c.decoder.Next()
		if err != nil {
			c.t.Fatal(err)
		}
		for {
			rec, err := txn.NextRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				c.t.Fatal(err)
			}
			if rec.Blob != nil || rec.SharedBlob {
				seen = append(seen, *rec)
			}
		}
	}
	return seen
}

func TestWhoSharesTheBlobDirectoryGetsNoBlobs(t *testing.T) {
	dir := &tokens{}
	p := start(t, aBlob(), Options{PutToken: dir.Put})
	c := follow(t, p.addr, sharer())
	seen := c.blobsSeen(2)
	if len(seen) != 1 || !seen[0].SharedBlob || seen[0].Blob != nil || seen[0].BlobSize != 7 {
		t.Errorf("blobs: %+v", seen)
	}
	if dir.put.Load() != 1 || dir.there.Load() != 0 {
		t.Errorf("%d tokens were put, %d are left", dir.put.Load(), dir.there.Load())
	}
}

// Of a blob that is damaged in the shared directory it is not said that it is there: what another node has of it is in
// no directory.
func TestADamagedBlobIsNotSaidToBeInTheSharedDirectory(t *testing.T) {
	src := newSource(memTxn{tid: tidAt(0), status: ' ', data: "blob record", blob: "content", short: true},
		memTxn{tid: tidAt(1), status: ' ', data: "blob record", blob: "content"})
	src.blobs = true
	p := start(t, src, Options{PutToken: new(tokens).Put})
	seen := follow(t, p.addr, sharer()).blobsSeen(2)
	if len(seen) != 1 || seen[0].Tid != tidAt(1) || !seen[0].SharedBlob {
		t.Errorf("blobs: %+v", seen)
	}
}

func TestWhoDoesNotAskGetsBlobsAndNoToken(t *testing.T) {
	dir := &tokens{}
	p := start(t, aBlob(), Options{PutToken: dir.Put})
	c := follow(t, p.addr, hello(protocol.Position{}))
	seen := c.blobsSeen(2)
	if len(seen) != 1 || seen[0].SharedBlob || seen[0].Blob == nil || dir.put.Load() != 0 {
		t.Errorf("blobs: %+v, %d tokens", seen, dir.put.Load())
	}
}

func TestTheTokenIsThereUntilTheStreamIsOpenedOrNotAtAll(t *testing.T) {
	dir := &tokens{}
	p := start(t, aBlob(), Options{PutToken: dir.Put})
	c := connect(t, p.addr)
	w, ok := c.ask(sharer()).(*protocol.Welcome)
	if !ok || !slices.Contains(w.Capabilities, protocol.SharedBlobs) || w.Token.Name != "0f" || w.Token.Digest[0] != 7 {
		t.Fatalf("answer %+v", w)
	}
	if dir.there.Load() != 1 {
		t.Error("the token was removed before the secondary could look")
	}
	c.hangUp()
	p.eventually(t, "the token is removed", func(Status) bool { return dir.there.Load() == 0 })
}

func TestADirectoryThatCannotBeProvedIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		opt   Options
		words string
	}{
		"only read here": {Options{}, "connect to the primary that owns the directory"},
		"no right to write": {Options{PutToken: func() (protocol.Token, func() error, error) {
			return protocol.Token{}, nil, errors.New("permission denied")
		}}, "permission denied; let zrsd write there"},
	} {
		r, ok := connect(t, start(t, aBlob(), c.opt).addr).ask(sharer()).(*protocol.Refusal)
		if !ok || r.Code != protocol.CodeBlobsNotShared || !strings.Contains(r.Text, c.words) || !r.Final() {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAPrimaryWithoutBlobsHasNothingToShare(t *testing.T) {
	dir := &tokens{}
	p := start(t, newSource(plain(1)...), Options{PutToken: dir.Put})
	w, ok := connect(t, p.addr).ask(sharer()).(*protocol.Welcome)
	if !ok || w.Blobs || len(w.Capabilities) != 0 || w.Token.Name != "" || dir.put.Load() != 0 {
		t.Errorf("answer %+v", w)
	}
}
