package protocol

import "github.com/zrsd/zrsd/zodb"

// MaxHistoryQueries is how many questions about its history a node answers on one connection.
const MaxHistoryQueries = 512

// A HistoryQuery asks a node for the value of its chain of digests, after the last transaction at or before Tid, from
// Base. It is the first message in place of Hello; further ones may follow each answer. With both tids 0 it asks only
// where the chain begins and ends.
type HistoryQuery struct {
	Version int      `msgpack:"version"`
	Name    string   `msgpack:"name"` // the node that asks, for people
	Base    zodb.Tid `msgpack:"base"`
	Tid     zodb.Tid `msgpack:"tid"`
}

// A HistoryAnswer answers a HistoryQuery.
type HistoryAnswer struct {
	StorageID string   `msgpack:"storage"`
	Name      string   `msgpack:"name"`
	Base      zodb.Tid `msgpack:"base"` // of the node's own chain
	Last      zodb.Tid `msgpack:"last"` // of the storage

	Tid   zodb.Tid    `msgpack:"tid"`   // of the transaction that was found; the base, when there is none after it
	Count uint64      `msgpack:"count"` // transactions from after the base up to it
	Value zodb.Digest `msgpack:"value"`

	// Unknown says why the node cannot tell, and then Tid, Count and Value say nothing. Empty: it can.
	Unknown string `msgpack:"unknown"`

	// Ranges says that parts of the data file are to be had on this connection.
	Ranges bool `msgpack:"ranges,omitempty"`

	// Blobs says that a BlobQuery is answered on this connection.
	Blobs bool `msgpack:"blobs,omitempty"`

	// Records says that a RecordQuery is answered on this connection.
	Records bool `msgpack:"records,omitempty"`

	// Data says that a RecordRequest is answered on streams of ranges of this connection.
	Data bool `msgpack:"data,omitempty"`
}
