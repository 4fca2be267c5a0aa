package kubernetes

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/zrsd/zrsd/cluster/lease"
)

// Options say where the API server is, and which objects are those of a storage. Server, Namespace and Name are
// required.
type Options struct {
	Server    string // https://HOST:PORT
	Namespace string
	Name      string      // of the leader lease; those of the other objects begin with it
	TLS       *tls.Config // with the cluster's authorities
	TokenFile string      // of the service account; empty: no token is sent
}

// A Client is a lease.Coordinator.
type Client struct {
	opt  Options
	http *http.Client

	mu      sync.Mutex
	objects map[string]observation // by name
	version int64                  // the youngest that a view was made of
	changes int64                  // of that view, by time alone
	ended   string                 // what had run out in that view
}

// An observation is since when an object is known to have been written by its holder, on this machine's monotonic
// clock.
type observation struct {
	beat   string
	first  string // the resourceVersion with which it was first seen; others may change labels
	latest string
	since  time.Time
	lasts  time.Duration
}

// The label and annotations of objects.
const (
	label       = "zrsd/storage"
	record      = "zrsd/record"
	holder      = "zrsd/holder"
	status      = "zrsd/status"
	maintenance = "zrsd/maintenance"
	beat        = "zrsd/beat" // another text each time that a holder writes its object
)

// forgetAfter is how long a member that is gone stays in Kubernetes: a node that is begun anew has another id.
const forgetAfter = time.Hour

var dnsLabel = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
})

// Open returns a client. It connects when it is used.
func Open(opt Options) (*Client, error) {
	for what, name := range map[string]string{"namespace": opt.Namespace, "name of the lease": opt.Name} {
		if !dnsLabel().MatchString(name) {
			return nil, fmt.Errorf("use the leases of Kubernetes: %q is no %s: it has up to 63 letters a to z, digits "+
				"and -", name, what)
		}
	}
	return &Client{opt: opt, objects: map[string]observation{}, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   opt.TLS,
		ForceAttemptHTTP2: true,
		DialContext:       (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		IdleConnTimeout:   time.Minute,
		// A connection that has gone silent is left before a lease has run out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
	}}}, nil
}

// Close is part of lease.Coordinator.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) maintenanceName() string       { return c.opt.Name + "-maintenance" }
func (c *Client) memberName(node string) string { return c.opt.Name + "-member-" + node }

// Publish is part of lease.Coordinator.
func (c *Client) Publish(ctx context.Context, s lease.MemberStatus, ttl time.Duration) error {
	o := c.newObject(c.memberName(s.Node))
	o.Metadata.Annotations[status], o.Metadata.Annotations[beat] = encode(s), rand.Text()
	o.Spec = spec{Holder: s.Node, Seconds: seconds(ttl), RenewTime: now()}
	if err := c.put(ctx, o); err != nil {
		return c.wrap("publish a status", err)
	}
	return c.wrap("remove a member that is gone", c.forget(ctx))
}

// Maintain is part of lease.Coordinator.
func (c *Client) Maintain(ctx context.Context, m lease.Maintenance) error {
	o := c.newObject(c.maintenanceName())
	o.Metadata.Annotations[maintenance] = encode(m)
	return c.wrap("set maintenance", c.put(ctx, o))
}

// put writes an object that only one node writes, or for which the last one counts, whatever there was.
func (c *Client) put(ctx context.Context, o object) error {
	var now object
	err := c.call(ctx, http.MethodPatch, o.Metadata.Name, "", o, &now)
	if is(err, http.StatusNotFound) {
		now, err = c.create(ctx, o)
		if is(err, http.StatusConflict) { // created by another one in between
			err = c.call(ctx, http.MethodPatch, o.Metadata.Name, "", o, &now)
		}
	}
	if err == nil {
		c.notice(now)
	}
	return err
}

// forget removes the objects of members that have been gone for long, if they are still as they were seen.
func (c *Client) forget(ctx context.Context) error {
	var errs []error
	for name, version := range c.longGone() {
		err := c.call(ctx, http.MethodDelete, name, "", map[string]any{
			"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": map[string]string{"resourceVersion": version},
		}, nil)
		if err != nil && !is(err, http.StatusNotFound) && !is(err, http.StatusConflict) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// seconds rounds up: a lease lasts for that long or longer.
func seconds(ttl time.Duration) int64 {
	return int64(max(1, min(math.Ceil(ttl.Seconds()), math.MaxInt32)))
}

// wrap says what failed, and where. The end of a context is found by errors.Is.
func (c *Client) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at Kubernetes %s, leases %s in namespace %s: %w", what, c.opt.Server, c.opt.Name,
		c.opt.Namespace, err)
}

// encode never fails: what is kept has no values that JSON lacks.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// decode reads an annotation; without one the value stays as it is.
func decode(o object, key string, value any) error {
	text, ok := o.Metadata.Annotations[key]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), value); err != nil {
		return fmt.Errorf("annotation %s of the lease %s: it is not what zrsd writes there: %w", key, o.Metadata.Name,
			err)
	}
	return nil
}
