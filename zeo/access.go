package zeo

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// errReadOnly ends the connections of clients that write when their storage becomes one that is only read: they look
// for another server.
var errReadOnly = errors.New("the storage is only read here now")

// SetAccess changes what clients may do with a storage. Transactions that have not voted are refused from now on where
// it is not writable; a caller that holds the storage's commits (filestorage.Storage.Hold) knows that there are no
// others. Where it becomes ReadOnly, clients that may write are disconnected. A name that is not served is ignored.
func (s *Server) SetAccess(name string, access Access) {
	if st := s.storage(name); st != nil {
		st.setAccess(access)
	}
}

func (s *served) access() Access { return Access(s.allowed.Load()) }

// writable is asked under the commit lock.
func (s *served) writable() error {
	if s.access() != Writable {
		return fmt.Errorf("commit to storage %s: %w", s.name, zodb.ErrReadOnly)
	}
	return nil
}

func (s *served) setAccess(access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed.Store(int32(access))
	if access != ReadOnly {
		return
	}
	for c := range s.clients {
		if !c.readOnly {
			c.out.close(errReadOnly)
		}
	}
}
