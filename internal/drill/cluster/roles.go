package cluster

import (
	"context"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
)

// changeTimeout is how long a change of roles may take.
const changeTimeout = 20 * time.Second

func changing() admin.ChangeOptions { return admin.ChangeOptions{Timeout: changeTimeout} }

// silently is told of the steps of a change.
func silently([]byte, *admin.Step) error { return nil }

// Promote makes a secondary the primary.
func (n *Node) Promote(ctx context.Context) (*admin.Change, error) {
	return admin.AskPromote(ctx, n.Dial, changing(), false, silently)
}

// Switchover has a primary hand over.
func (n *Node) Switchover(ctx context.Context, to *Node) (*admin.Change, error) {
	return admin.AskSwitchover(ctx, n.Dial, changing(), to.Name, silently)
}

// Halt has a primary take no transactions, until Resume.
func (n *Node) Halt(ctx context.Context) error {
	_, err := admin.AskFreeze(ctx, n.Dial, changing(), silently)
	return err
}

// Resume has it take them again.
func (n *Node) Resume(ctx context.Context) error {
	_, err := admin.AskThaw(ctx, n.Dial, changing(), silently)
	return err
}

// Pack packs the storage as of a time, now for zero. Garbage is left: nothing refers to the objects of a drill.
func (n *Node) Pack(ctx context.Context, until time.Time) error {
	garbage := false
	req := admin.PackRequest{Until: until, GC: &garbage}
	_, err := admin.AskPack(ctx, n.Dial, "", req, func([]byte, *admin.PackProgress) error { return nil })
	return err
}
