package zeo

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// These end connections of clients that then look for another server.
var (
	errReadOnly = errors.New("the storage is now read-only here")
	errLeader   = errors.New("another node is writable: the client searches for it")
)

// SetAccess changes what clients may do with a storage. Transactions that have not voted are refused from now on where
// it is not writable; a caller that holds the storage's commits (filestorage.Storage.Hold) knows that there are no
// others. Where it becomes ReadOnly, clients that may write are disconnected; where it is no longer ReadOnly, those
// that read as a fallback are. A name that is not served is ignored.
func (s *Server) SetAccess(name string, access Access) {
	if st := s.storage(name); st != nil {
		st.setAccess(access)
	}
}

func (s *storage) access() Access { return Access(s.allowed.Load()) }

// writable is asked under the commit lock.
func (s *storage) writable() error {
	if s.access() != Writable {
		return fmt.Errorf("commit to storage %s: %w", s.name, zodb.ErrReadOnly)
	}
	return nil
}

func (s *storage) setAccess(access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if access != ReadOnly && s.access() == ReadOnly {
		s.floor = s.st.LastTid()
	}
	s.allowed.Store(int32(access))
	if access == ReadOnly {
		s.part(errReadOnly, func(c *client) bool { return !c.readOnly })
	} else {
		s.part(errLeader, func(c *client) bool { return c.turned })
	}
	if s.seek != nil && access != ReadOnly {
		s.seek.forget()
	} else if s.seek != nil {
		s.seek.poke()
	}
}

// leaderFound disconnects clients that are here only because no node admitted writers.
func (s *storage) leaderFound() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access() == ReadOnly {
		s.part(errLeader, func(c *client) bool { return c.onlyReads || c.turned })
	}
}

// part disconnects clients. It is called with mu held.
func (s *storage) part(why error, who func(c *client) bool) {
	for c := range s.clients {
		if who(c) {
			c.out.close(why)
		}
	}
}
