package zeoload

import "github.com/zrsd/zrsd/zodb"

// Invalidation waits for the next invalidation and returns the tid of its transaction.
func (c *Conn) Invalidation() (zodb.Tid, error) {
	for {
		a, err := c.receive()
		if err != nil {
			return 0, err
		}
		if string(a.method) == "invalidateTransaction" {
			return a.tid()
		}
	}
}
