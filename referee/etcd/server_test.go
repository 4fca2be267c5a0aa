package etcd_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/zrsd/zrsd/referee"
	"github.com/zrsd/zrsd/referee/etcd"
	"github.com/zrsd/zrsd/referee/refereetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's server leaves them behind when it is closed.
		goleak.IgnoreAnyFunction("go.etcd.io/etcd/pkg/v3/schedule.(*fifo).run"),
		goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// A server is an etcd of one member in this process. It can be stopped and started again with what it had.
type server struct {
	folder  string
	address string // host:port, from the first start on
	etcd    *embed.Etcd
}

func startServer(t *testing.T, change func(*embed.Config)) *server {
	t.Helper()
	s := &server{folder: t.TempDir(), address: "127.0.0.1:0"}
	s.start(t, change)
	t.Cleanup(s.stop)
	return s
}

func (s *server) start(t *testing.T, change func(*embed.Config)) {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = s.folder
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	anywhere := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenPeerUrls = []url.URL{anywhere}
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: s.address}}
	if change != nil {
		change(cfg)
	}
	var err error
	if s.etcd, err = embed.StartEtcd(cfg); err != nil {
		t.Fatal(err)
	}
	s.address = s.etcd.Clients[0].Addr().String()
	select {
	case <-s.etcd.Server.ReadyNotify():
	case err := <-s.etcd.Err():
		t.Fatal(err)
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}

func (s *server) stop() {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
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
func raw(t *testing.T, s *server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.address}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func at(addresses ...string) etcd.Options { return etcd.Options{Endpoints: addresses} }

func standing(node string) referee.Standing {
	return referee.Standing{Node: node, Name: node, Able: true}
}

func claim(node string, number uint64, ttl time.Duration) referee.Claim {
	return referee.Claim{Record: referee.Record{Number: number, Node: node, Begun: number}, Holder: standing(node),
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
	refereetest.Contract(t, func(t *testing.T) func() referee.Referee {
		t.Helper()
		return func() referee.Referee { return open(t, at(s.address)) }
	})
}
