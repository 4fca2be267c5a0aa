// Package etcdtest runs an etcd of one member in the process of a test.
package etcdtest

import (
	"context"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/zrsd/zrsd/internal/endpoint"
)

// A Server can be stopped, and started again with what it had. It is for one goroutine at a time.
type Server struct {
	Folder  string
	Address string // host:port, from the first start on

	change func(*embed.Config)
	etcd   *embed.Etcd
}

// New returns a server that is not started yet. It keeps its data in a folder, and syncs nothing. change may change
// how it is run; nil: nothing.
func New(folder string, change func(*embed.Config)) *Server {
	return &Server{Folder: folder, change: change}
}

// Start returns when the server answers.
func (s *Server) Start(ctx context.Context) (err error) {
	if s.Address == "" {
		if s.Address, err = endpoint.FreeAddress(ctx); err != nil {
			return err
		}
	}
	cfg := embed.NewConfig()
	cfg.Dir = s.Folder
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: s.Address}}
	if s.change != nil {
		s.change(cfg)
	}
	if s.etcd, err = embed.StartEtcd(cfg); err != nil {
		return fmt.Errorf("starting etcd at %s: %w", s.Address, err)
	}
	s.Address = s.etcd.Clients[0].Addr().String()
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case err := <-s.etcd.Err():
		return fmt.Errorf("starting etcd at %s: %w", s.Address, err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop ends the server, if it runs.
func (s *Server) Stop() {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
}
