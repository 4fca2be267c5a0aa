package filestorage

import "github.com/zrsd/zrsd/zodb"

// An expectedTxn is one transaction of a fixture.
type expectedTxn struct {
	Pos     int64
	Tid     zodb.Tid
	Records []expectedRec
}

// An expectedRec is one record of a fixture.
type expectedRec struct {
	Pos int64
}
