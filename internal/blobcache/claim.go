package blobcache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/objectstore"
)

// ClaimPrefix is how the keys of claims begin:
//
//	zrsd-epochs/<storage id>/<number of the epoch, 16 hexadecimal digits>
//
// A node puts one there when it begins to lead, before any blob of that epoch. So who removes objects, and sees no
// later claim after it has listed them, has seen no object of a later epoch.
const ClaimPrefix = "zrsd-epochs/"

// A Claim is the right of a node to put blobs into an object store, and to remove them: it leads in this epoch.
type Claim struct {
	Storage string // its id
	Epoch   uint64
	Node    string // its id
}

func (c Claim) key() string { return fmt.Sprintf("%s%s/%016x", ClaimPrefix, c.Storage, c.Epoch) }

// put makes the claim. That another node made it is objectstore.ErrExists.
func (c Claim) put(ctx context.Context, o Objects) error {
	_, err := o.Store.Put(ctx, c.key(), strings.NewReader(c.Node+"\n"))
	return err
}

// Why nothing may be removed from an object store.
var (
	errLater   = errors.New("another node has begun a later epoch, and has blobs there: nothing is removed")
	errForeign = errors.New("blobs of another storage may be there, too: nothing is removed")
)

// mayRemove reports why the node of this claim must not remove anything.
func (c Claim) mayRemove(ctx context.Context, o Objects) error {
	if err := c.put(ctx, o); errors.Is(err, objectstore.ErrExists) {
		return fmt.Errorf("%w (%s is of another node)", errLater, c.key())
	} else if err != nil {
		return err
	}
	for at, err := range o.Store.List(ctx, ClaimPrefix) {
		if err != nil {
			return err
		}
		storage, number, cut := strings.Cut(strings.TrimPrefix(at.Key, ClaimPrefix), "/")
		epoch, err := strconv.ParseUint(number, 16, 64)
		switch {
		case !cut || err != nil || storage != c.Storage:
			return fmt.Errorf("%w: see the object %.200s; where that storage is no more, remove the object", errForeign,
				at.Key)
		case epoch > c.Epoch:
			return fmt.Errorf("%w (epoch %d; this node leads in epoch %d)", errLater, epoch, c.Epoch)
		}
	}
	return nil
}
