package zeo

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/zeo/wire"
)

// A client that is at the wrong server is made to connect to all its addresses again. ZEO's client ends its other
// attempts when one server has admitted it, and tries all addresses, at once, when that connection ends. There are two
// ways.
//
// The one, again, ends the connection when the client asks for the last transaction. ZEO's client takes that for the
// end of its wait for a connection, if it has not been connected before: the application gets ClientDisconnected, after
// however short a time. The other one lets it connect first, as a reader, and ends the connection when it has asked
// for all that it wants to know before it counts itself connected. What the application does then waits for the next
// connection, as after any failure.
//
// But a client whose cache is ahead of this server would end such a connection by itself, and wait for nine seconds. So
// the second way is for a server that has all that the leader has.

// again makes a client connect to all its addresses again, in the first way.
func (c *client) again(m *wire.Message) error {
	c.logger().Debug("asked a client to look again for a writable server")
	c.reply(m, nil)
	return errDone
}

// caughtUpWithin is for how long a client waits that is to connect before it looks for the leader.
const caughtUpWithin = 500 * time.Millisecond

// caughtUp waits until clients find here what the leader had when it was asked, and reports whether they do.
func (s *storage) caughtUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, caughtUpWithin)
	defer cancel()
	last := s.seek.view().last
	return last != 0 && s.await(ctx, last) == nil && s.awaitClear(ctx) == nil
}

// connecting are the calls of a client before it counts itself connected, and whether it does so with the answer.
var connecting = map[string]bool{"lastTransaction": false, "getInvalidations": false, "get_info": true}

// connect answers a call of a client that is to connect before it looks for the leader.
func (c *client) connect(m *wire.Message, a *arguments, h handler) error {
	connected, known := connecting[m.Method]
	if known {
		if err := c.answered(m, h.f(c, m, a)); err != nil {
			return err
		}
	}
	if known && !connected {
		return nil
	}
	c.logger().Debug("ended the connection of a client, so that it looks for a writable server")
	return errDone
}
