package archive

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Allow notes that a node may go on after a generation, although it lacks something of it.
func (a *Archive) Allow(ctx context.Context, generation, epoch uint64, node, by string) error {
	if _, err := ParseNode(node); err != nil {
		return err
	}
	text := fmt.Sprintf("allowed by %s at %s\n", by, time.Now().UTC().Format(time.RFC3339))
	_, err := a.store.Put(ctx, allowName(generation, epoch, node), bytes.NewReader([]byte(text)))
	return err
}
