package inside

import (
	"errors"
	"sync"
)

// A classID is the number of a class; 0 is none.
type classID uint16

var errTooManyClasses = errors.New("this storage has more than the 65,535 classes that can be told apart")

// classNames numbers classes.
type classNames struct {
	mu    sync.Mutex
	ids   map[string]classID
	names []string // module\nname
}

func newClassNames() *classNames {
	return &classNames{ids: make(map[string]classID), names: []string{""}}
}

// A nameCache is what a worker has seen of the names, which it looks up without a lock.
type nameCache struct {
	*classNames
	seen map[string]classID
	key  []byte
}

func (c *nameCache) id(module, name []byte) (classID, error) {
	c.key = append(append(append(c.key[:0], module...), '\n'), name...)
	if id, ok := c.seen[string(c.key)]; ok {
		return id, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := string(c.key)
	id, ok := c.ids[key]
	if !ok {
		if len(c.names) > 1<<16-1 {
			return 0, errTooManyClasses
		}
		id = classID(len(c.names))
		c.names = append(c.names, key)
		c.ids[key] = id
	}
	c.seen[key] = id
	return id, nil
}
