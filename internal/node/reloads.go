package node

import "sync"

// Reloads carries a signal to everything in a process that can read its files again. The zero value is ready, nil
// is one that never gets a signal. Its methods may be called concurrently.
type Reloads struct {
	mu   sync.Mutex
	next int
	all  map[int]func()
}

// Reload has all files read again and returns how many owners of files there were.
func (r *Reloads) Reload() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reload := range r.all {
		reload()
	}
	return len(r.all)
}

// add has reload called by Reload until remove is called. After remove has returned it does not run any more.
func (r *Reloads) add(reload func()) (remove func()) {
	if r == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[int]func())
	}
	id := r.next
	r.next++
	r.all[id] = reload
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.all, id)
	}
}
