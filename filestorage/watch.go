package filestorage

import (
	"slices"
	"sync"

	"github.com/zrsd/zrsd/zodb"
)

// watchers get each group as it becomes visible, in the order of the file.
//
// Lock order: watchers.mu before Storage.view.
type watchers struct {
	mu  sync.Mutex // held while a group becomes visible and all are informed
	all []*watcher
}

type watcher struct {
	told func(txns []Invalidation, here bool)
}

// Watch calls told for everything that becomes visible from now on, until stop is called. told gets transactions that
// ended with a call of Tell, the oldest first; nil says that there are others as well, to be read with Iterate. here
// says that the caller is a committer in Commit.Settle. Commits wait for told, so it must be quick, and must not call
// stop.
func (s *Storage) Watch(told func(txns []Invalidation, here bool)) (stop func()) {
	w := &watcher{told}
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	s.watchers.all = append(s.watchers.all, w)
	return func() {
		s.watchers.mu.Lock()
		defer s.watchers.mu.Unlock()
		s.watchers.all = slices.DeleteFunc(s.watchers.all, func(other *watcher) bool { return other == w })
	}
}

// Tell passes to watchers of the storage which objects the transaction has changed, which keeps them in memory until it
// is visible.
func (t *Txn) Tell() { t.tell = true }

// changed returns the objects that the transaction has changed, each once, in file order.
func (t *Txn) changed() []zodb.Oid {
	oids := make([]zodb.Oid, 0, len(t.entries))
	if len(t.entries) <= fewObjects {
		for _, e := range t.entries {
			if !slices.Contains(oids, e.oid) {
				oids = append(oids, e.oid)
			}
		}
		return oids
	}
	seen := make(map[zodb.Oid]struct{}, len(t.entries))
	for _, e := range t.entries {
		if _, twice := seen[e.oid]; !twice {
			seen[e.oid] = struct{}{}
			oids = append(oids, e.oid)
		}
	}
	return oids
}

// fewObjects are compared with each other faster than they are put into a map.
const fewObjects = 16
