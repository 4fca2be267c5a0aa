package etcd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/zrsd/zrsd/cluster/lease"
)

// Options say where an etcd cluster is. Endpoints and Prefix are required.
type Options struct {
	Endpoints []string // host:port of members
	// Prefix is where the keys of one storage are, such as /zrsd/ID.
	Prefix         string
	TLS            *tls.Config // nil: plain text
	User, Password string      // empty: none
}

// A Client is a lease.Coordinator.
type Client struct {
	etcd   *clientv3.Client
	prefix string // ends with a slash
}

// maxAnswer bounds what an answer of etcd may have: some thousand member statuses.
const maxAnswer = 4 << 20

// Open returns a client. It connects when it is used, and again whenever that is needed.
func Open(opt Options) (*Client, error) {
	etcd, err := clientv3.New(clientv3.Config{
		Endpoints: opt.Endpoints, TLS: opt.TLS, Username: opt.User, Password: opt.Password,
		// An endpoint that has gone silent is left before a lease has run out; etcd allows a ping each 5 s.
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// An etcd that is back is found long before its leases run out.
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
			},
			MinConnectTimeout: 2 * time.Second,
		})},
		MaxCallRecvMsgSize: maxAnswer,
		Logger:             zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("use etcd at %s: %w", strings.Join(opt.Endpoints, ","), err)
	}
	return &Client{etcd: etcd, prefix: path.Clean("/"+opt.Prefix) + "/"}, nil
}

// Close is part of lease.Coordinator.
func (c *Client) Close() error { return c.etcd.Close() }

func (c *Client) recordKey() string      { return c.prefix + "record" }
func (c *Client) leaseKey() string       { return c.prefix + "office" } // see doc.go
func (c *Client) maintenanceKey() string { return c.prefix + "maintenance" }
func (c *Client) membersKey() string     { return c.prefix + "members/" }

// Publish is part of lease.Coordinator.
func (c *Client) Publish(ctx context.Context, s lease.MemberStatus, ttl time.Duration) error {
	held, err := c.grantLease(ctx, ttl)
	if err != nil {
		return err
	}
	_, err = c.etcd.Put(ctx, c.membersKey()+s.Node, encode(s), clientv3.WithLease(held))
	return c.wrap("publish a status", err)
}

// Maintain is part of lease.Coordinator.
func (c *Client) Maintain(ctx context.Context, m lease.Maintenance) error {
	_, err := c.etcd.Put(ctx, c.maintenanceKey(), encode(m))
	return c.wrap("set maintenance", err)
}

// grantLease returns a new lease that lasts for ttl or longer.
func (c *Client) grantLease(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	seconds := int64(math.Ceil(ttl.Seconds()))
	granted, err := c.etcd.Grant(ctx, seconds)
	switch {
	case err != nil:
		return 0, c.wrap("get a lease", err)
	case granted.TTL < seconds:
		return 0, c.wrap("get a lease", fmt.Errorf("%d s were granted, not %d s", granted.TTL, seconds))
	}
	return granted.ID, nil
}

// wrap says what failed, and with which etcd. The end of a context is found by errors.Is.
func (c *Client) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at etcd %s below %s: %w", what, strings.Join(c.etcd.Endpoints(), ","), c.prefix, err)
}

// encode never fails: what is kept has no values that JSON lacks.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// errNotOurs is about a value below the prefix.
var errNotOurs = errors.New("it is not what zrsd writes there: see who else uses this prefix, or remove the key")
