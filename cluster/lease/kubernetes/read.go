package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
)

// timeBits are those of a revision that count what has changed by time alone since the resourceVersion above them.
const timeBits = 16

// longestWatch bounds how long the API server is asked to wait for a change.
const longestWatch = time.Minute

// Read is part of lease.Coordinator.
func (c *Client) Read(ctx context.Context, other int64) (lease.View, error) {
	for {
		if other != 0 {
			if err := c.await(ctx, other>>timeBits); err != nil {
				return lease.View{}, c.wrap("watch", err)
			}
		}
		var all list
		if err := c.call(ctx, http.MethodGet, "", c.ours(), nil, &all); err != nil {
			return lease.View{}, c.wrap("read", err)
		}
		v, err := c.view(all)
		if err != nil {
			return lease.View{}, c.wrap("read", err)
		}
		if v.Revision != other {
			return v, nil
		}
	}
}

// ours selects the objects of this storage. Without a resourceVersion the API server answers with the youngest state.
func (c *Client) ours() string { return "labelSelector=" + url.QueryEscape(label+"="+c.opt.Name) }

// await returns when something has changed after a resourceVersion, or may have, or runs out.
func (c *Client) await(ctx context.Context, version int64) error {
	limit := min(c.untilNext(), longestWatch)
	watching, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := c.send(watching, http.MethodGet, "", c.ours()+"&watch=true&resourceVersion="+
		strconv.FormatInt(version, 10)+"&timeoutSeconds="+strconv.FormatInt(seconds(limit), 10), nil)
	if err == nil {
		defer answer.Body.Close() //nolint:errcheck // only read
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusGone {
			return &statusError{answer.StatusCode, "it lets nobody watch"}
		}
		var event struct {
			Type string `json:"type"`
		}
		// whatever it is, and at its end, the state is read
		_ = json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&event)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case watching.Err() != nil: // the time is over
		return nil
	}
	return err
}

// view makes a view of all objects as they are now.
func (c *Client) view(all list) (lease.View, error) {
	var v lease.View
	at, err := version(all.Metadata.ResourceVersion)
	if err != nil {
		return v, err
	}
	var ended []string
	for _, o := range all.Items {
		c.notice(o)
		if o.Spec.Seconds != 0 && !c.isHeld(o) {
			ended = append(ended, o.Metadata.Name)
			o.Spec.Holder = ""
		}
		if err := c.addToView(&v, o); err != nil {
			return v, err
		}
	}
	slices.SortFunc(v.Members, func(a, b lease.Member) int { return strings.Compare(a.Node, b.Node) })
	v.Revision = c.revision(at, strings.Join(ended, " "))
	return v, nil
}

// addToView adds an object. Without a holder, the lease is vacant and a member is gone.
func (c *Client) addToView(v *lease.View, o object) error {
	switch name := o.Metadata.Name; {
	case name == c.opt.Name:
		if o.Spec.Holder != "" {
			v.Holder = new(lease.MemberStatus)
			if err := decode(o, holder, v.Holder); err != nil {
				return err
			}
		}
		return decode(o, record, &v.Record)
	case name == c.maintenanceName():
		return decode(o, maintenance, &v.Maintenance)
	case o.Spec.Holder == "" || !strings.HasPrefix(name, c.memberName("")):
		return nil
	}
	at, err := c.publishedAt(o)
	if err != nil {
		return fmt.Errorf("the lease %s: %w", o.Metadata.Name, err)
	}
	m := lease.Member{Revision: at << timeBits}
	err = decode(o, status, &m.MemberStatus)
	v.Members = append(v.Members, m)
	return err
}
