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
	key  []byte  // module\nname that was looked up last
	last classID // its number; 0: none was
}

func (c *nameCache) id(module, name []byte) (id classID, err error) {
	if m := len(module); c.last != 0 && len(c.key) == m+1+len(name) && string(c.key[:m]) == string(module) &&
		string(c.key[m+1:]) == string(name) {
		return c.last, nil
	}
	c.key = append(append(append(c.key[:0], module...), '\n'), name...)
	if c.last = c.seen[string(c.key)]; c.last == 0 {
		c.last, err = c.number()
	}
	return c.last, err
}

// number gives the class of key its number.
func (c *nameCache) number() (classID, error) {
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
