package kubernetes

import (
	"strings"
	"time"
)

// notice notes what an object is now, and when it was first seen as its holder has written it.
func (c *Client) notice(o object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, is := o.Metadata.Name, o.Metadata.Annotations[beat]
	seen, known := c.objects[name]
	if !known || seen.beat != is {
		seen = observation{
			beat: is, first: o.Metadata.ResourceVersion, since: time.Now(),
			lasts: time.Duration(o.Spec.Seconds) * time.Second,
		}
	}
	seen.latest = o.Metadata.ResourceVersion
	c.objects[name] = seen
}

// publishedAt is the resourceVersion with which an object was first seen as its holder has written it.
func (c *Client) publishedAt(o object) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return version(c.objects[o.Metadata.Name].first)
}

// isHeld reports whether an object that was noticed has a holder, and has not been seen unchanged for its duration.
func (c *Client) isHeld(o object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.objects[o.Metadata.Name]
	return o.Spec.Holder != "" && time.Since(seen.since) < seen.lasts
}

// untilNext is how long it takes until something runs out, if it stays as it is.
func (c *Client) untilNext() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := longestWatch
	for _, seen := range c.objects {
		if left := seen.lasts - time.Since(seen.since); left > 0 {
			next = min(next, left)
		}
	}
	return next
}

// revision is that of a view of a resourceVersion in which the named objects have run out.
func (c *Client) revision(at int64, ended string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at < c.version: // a younger view has been made meanwhile
		return at << timeBits
	case at > c.version:
		c.version, c.changes = at, 0
	case ended != c.ended:
		c.changes = min(c.changes+1, 1<<timeBits-1)
	}
	c.ended = ended
	return at<<timeBits | c.changes
}

// longGone returns the members that have been gone for long, with the resourceVersion that they had all the time.
func (c *Client) longGone() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := map[string]string{}
	for name, seen := range c.objects {
		if strings.HasPrefix(name, c.memberName("")) && time.Since(seen.since) > seen.lasts+forgetAfter {
			gone[name] = seen.latest
			delete(c.objects, name)
		}
	}
	return gone
}
