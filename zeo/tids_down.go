package zeo

import (
	"errors"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// Tids rise along a history, but in files of clocks that were wrong: such a file is served by the order of its
// transactions. Only a secondary that fills up gets one like that while clients are connected.

// rising reports whether the tids of a batch are in order, after that of the last transaction.
func rising(last zodb.Tid, batch []filestorage.Invalidation) bool {
	for i := range batch {
		if batch[i].Tid <= last {
			return false
		}
		last = batch[i].Tid
	}
	return true
}

// startAgain disconnects all clients, because none takes an invalidation whose tid is not above the one before. What is
// new they learn when they come again. It is called with mu held.
func (s *storage) startAgain() {
	s.log.Warn(
		"the tids of this history go down here: clients must reconnect",
		"storage",
		s.name,
		"last_tid",
		s.visible,
	)
	for c := range s.clients {
		c.out.close(errDown)
	}
	clear(s.finishing) // none of theirs is among what a secondary is sent
}

var errDown = errors.New("the tids of this history go down: reconnect")
