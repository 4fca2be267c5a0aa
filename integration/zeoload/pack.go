package zeoload

import "time"

// Pack packs the storage to a time, with garbage collection as the server is configured, and returns when that is done.
func (c *Conn) Pack(to time.Time) error {
	c.send(packCall(to))
	a, err := c.answer()
	if err != nil {
		return err
	}
	return a.answers(packID, "pack")
}
