package primary

import (
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// BlobDigests are what the node has noted of the content of its blobs: a *verify.Digests.
type BlobDigests interface {
	// Find returns what is noted of a blob, whether that was when a client gave it to this node, and whether something
	// is.
	Find(oid zodb.Oid, tid zodb.Tid) (noted protocol.BlobDigest, committed, known bool)
}

// A blobComparison answers the questions of one connection about the content of blobs, from what is noted. That is read
// once, when the first one is asked.
type blobComparison struct {
	c     *native
	noted BlobDigests
}

// answer answers one question.
func (b *blobComparison) answer(query *protocol.BlobQuery) (*protocol.BlobAnswer, error) {
	c := b.c
	if err := query.Check(); err != nil {
		return nil, goodbye("a question about blobs: %v", err)
	}
	if c.p.opt.BlobDigests == nil {
		return &protocol.BlobAnswer{Unknown: "it keeps no blobs"}, nil
	}
	if b.noted == nil {
		var err error
		if b.noted, err = c.p.opt.BlobDigests(); err != nil {
			c.log.Info("what is noted of blobs cannot be read", "error", err)
			return &protocol.BlobAnswer{Unknown: "what it has noted of its blobs cannot be read"}, nil
		}
	}
	answer := new(protocol.BlobAnswer)
	for i, asked := range query.All() {
		noted, committed, known := b.noted.Find(asked.Oid, asked.Tid)
		if !known {
			continue
		}
		answer.Known++
		if noted != asked {
			answer.AddOther(i, noted)
			if committed {
				answer.Committed = append(answer.Committed, i)
			}
		}
	}
	return answer, nil
}
