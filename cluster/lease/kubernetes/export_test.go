package kubernetes

import "time"

// Age makes everything that was observed older than it is.
func (c *Client) Age(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, seen := range c.objects {
		seen.since = seen.since.Add(-by)
		c.objects[name] = seen
	}
}
