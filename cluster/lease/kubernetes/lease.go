package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
)

// A heldLease is known by what the object has as its holder: no other call of Acquire writes the same.
type heldLease struct {
	c      *Client
	holder string
	object object    // as it was last written or read
	until  time.Time // when others may take the lease for vacant, at the earliest
}

// attempts is how often a change is tried anew that another tool's change of the same object has crossed, such as a
// label that an administrator sets.
const attempts = 5

// errCrossed ends that.
var errCrossed = errors.New("something else changes this lease all the time: kubectl get lease -o yaml shows " +
	"managedFields")

// Acquire is part of lease.Coordinator.
func (c *Client) Acquire(ctx context.Context, seen lease.Record, claim lease.Claim) (lease.Lease, error) {
	for range attempts {
		o, err := c.get(ctx, c.opt.Name)
		if err != nil {
			return nil, c.wrap("acquire the lease", err)
		}
		var is lease.Record
		if err := decode(o, record, &is); err != nil {
			return nil, c.wrap("acquire the lease", err)
		}
		if c.isHeld(o) || is != seen {
			return nil, lease.ErrTaken
		}
		t := &heldLease{c: c, holder: claim.Holder.Node + "_" + rand.Text()}
		o.Spec.AcquireTime, o.Spec.Transitions = now(), o.Spec.Transitions+1
		err = t.write(ctx, o, claim)
		switch {
		case err == nil:
			return t, nil
		case !conflicts(err):
			return nil, c.wrap("acquire the lease", err)
		}
	}
	return nil, c.wrap("acquire the lease", errCrossed)
}

// write makes the lease that of t, for the duration of the claim from now on, if the object is still o.
func (t *heldLease) write(ctx context.Context, o object, claim lease.Claim) error {
	until := time.Now().Add(claim.TTL)
	o.Metadata.Annotations[record], o.Metadata.Annotations[holder] = encode(claim.Record), encode(claim.Holder)
	o.Metadata.Annotations[beat] = rand.Text()
	o.Spec.Holder, o.Spec.Seconds, o.Spec.RenewTime = t.holder, seconds(claim.TTL), now()
	replace := t.c.update
	if o.Metadata.ResourceVersion == "" {
		replace = t.c.create
	}
	is, err := replace(ctx, o)
	if err == nil {
		t.object, t.until = is, until
	}
	return err
}

// conflicts reports whether the API server has refused a change, for certain, because the object is another one.
func conflicts(err error) bool { return is(err, http.StatusConflict) }

// Renew is part of lease.Lease.
func (t *heldLease) Renew(ctx context.Context, claim lease.Claim) error {
	for range attempts {
		if !time.Now().Before(t.until) {
			return lease.ErrLost // another one may have found it vacant
		}
		err := t.write(ctx, t.object, claim)
		switch {
		case err == nil:
			return nil
		case is(err, http.StatusNotFound):
			return lease.ErrLost
		case !conflicts(err):
			return t.c.wrap("renew the lease", err)
		}
		if mine, err := t.again(ctx); err != nil {
			return t.c.wrap("renew the lease", err)
		} else if !mine {
			return lease.ErrLost
		}
	}
	return t.c.wrap("renew the lease", errCrossed)
}

// again reads the object, and reports whether the lease is still that of t: its own change may have been answered by
// nobody, and others may have changed a label.
func (t *heldLease) again(ctx context.Context) (mine bool, err error) {
	o, err := t.c.get(ctx, t.c.opt.Name)
	if err == nil {
		t.object = o
	}
	return o.Spec.Holder == t.holder, err
}

// Resign is part of lease.Lease.
func (t *heldLease) Resign(ctx context.Context) error {
	t.until = time.Time{}
	for range attempts {
		o := t.object
		delete(o.Metadata.Annotations, holder)
		o.Spec.Holder = ""
		_, err := t.c.update(ctx, o)
		switch {
		case err == nil, is(err, http.StatusNotFound):
			return nil
		case !conflicts(err):
			return t.c.wrap("resign", err)
		}
		if mine, err := t.again(ctx); err != nil || !mine {
			return t.c.wrap("resign", err)
		}
	}
	return t.c.wrap("resign", errCrossed)
}
