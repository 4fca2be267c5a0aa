package etcd_test

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/etcd"
	"github.com/zrsd/zrsd/cluster/lease/etcd/etcdtest"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's server leaves them behind when it is closed.
		goleak.IgnoreAnyFunction("go.etcd.io/etcd/pkg/v3/schedule.(*fifo).run"),
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

func startServer(t *testing.T, change func(*embed.Config)) *etcdtest.Server {
	t.Helper()
	s := etcdtest.New(t.TempDir(), change)
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Stop)
	return s
}

// open returns a client of the test's own prefix.
func open(t *testing.T, opt etcd.Options) *etcd.Client {
	t.Helper()
	if opt.Prefix == "" {
		opt.Prefix = "/zrsd/" + t.Name()
	}
	c, err := etcd.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// raw returns etcd's own client.
func raw(t *testing.T, s *etcdtest.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Address}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func at(addresses ...string) etcd.Options { return etcd.Options{Endpoints: addresses} }

func memberStatus(node string) lease.MemberStatus {
	return lease.MemberStatus{Node: node, Name: node, Eligible: true}
}

func claim(node string, number uint64, ttl time.Duration) lease.Claim {
	return lease.Claim{Record: lease.Record{Number: number, Node: node, Begun: number}, Holder: memberStatus(node),
		TTL: ttl}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	s := startServer(t, nil)
	leasetest.Contract(t, func(t *testing.T) func() lease.Coordinator {
		t.Helper()
		return func() lease.Coordinator { return open(t, at(s.Address)) }
	})
}
