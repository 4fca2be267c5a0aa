package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zeo/client"
)

// zeoConf is a configuration that zrsd and runzeo understand alike.
const zeoConf = `<zeo>
  address %s
  msgpack %t
</zeo>
<filestorage 1>
  path %s
  %s
</filestorage>
`

// A zeoServer is a process, of zrsd or of runzeo, that serves one storage to clients.
type zeoServer struct {
	addr string
	data string // its Data.fs
	pid  int
	stop func() // kills it: it has nothing to lose
}

// A program is a command that becomes a ZEO server when it is given a configuration file.
type program struct {
	name    string
	args    []string
	msgpack bool // it announces M5 instead of Z5
}

func (b *bench) zrsdServe() program {
	return program{name: "zrsd", args: []string{b.zrsd, "serve", "-C"}}
}

// runzeo is only for a run that has an interpreter with ZEO.
func (b *bench) runzeo() program {
	return program{name: "runzeo", args: []string{b.zeo, "-m", "ZEO.runzeo", "-C"}}
}

// serve starts the program on a Data.fs and its blobs, empty for none, and returns when clients can register.
func (p program) serve(ctx context.Context, data, blobs string) (*zeoServer, error) {
	addr, err := endpoint.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(data)
	conf, logName := filepath.Join(dir, p.name+".conf"), filepath.Join(dir, p.name+".log")
	if blobs != "" {
		blobs = "blob-dir " + blobs
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, zeoConf, addr, p.msgpack, data, blobs), 0o644); err != nil {
		return nil, err
	}
	process, err := daemon.RunLogged(logName, p.args[0], append(p.args[1:], conf)...)
	if err != nil {
		return nil, err
	}
	s := &zeoServer{addr: addr, data: data, pid: process.Pid(), stop: func() {
		_ = process.Kill() // it may have ended
	}}
	if err := s.up(ctx, process.Exited()); err != nil {
		s.stop()
		text, _ := os.ReadFile(logName)
		return nil, fmt.Errorf("waiting for %s: %w\n%s", p.name, err, text)
	}
	return s, nil
}

// up waits until a client can register.
func (s *zeoServer) up(ctx context.Context, ended <-chan struct{}) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := zeoload.Dial(ctx, s.addr, true, nil)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-ended:
			return errors.New("the server has ended")
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// A dialer registers a client of the server at an address.
type dialer func(ctx context.Context, addr string) (*client.Conn, error)

// all is a dialer of clients for everything.
func all(ctx context.Context, addr string) (*client.Conn, error) {
	return zeoload.Dial(ctx, addr, false, nil)
}

// clients registers n clients. hangUp disconnects them.
func (s *zeoServer) clients(ctx context.Context, n int, dial dialer) (
	conns []*client.Conn, hangUp func(), err error,
) {
	hangUp = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range n {
		c, err := dial(ctx, s.addr)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		conns = append(conns, c)
	}
	return conns, hangUp, nil
}

// onCopy lets f measure the program on a copy of s that nobody has changed, with n clients, and removes the copy.
func (p program) onCopy(ctx context.Context, s *source, n int, f func(*zeoServer, []*client.Conn) error) (err error) {
	dir := filepath.Join(s.dir, p.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "Data.fs")
	if err := errors.Join(copyFile(data, s.data), copyFile(data+".index", s.data+".index")); err != nil {
		return err
	}
	unix.Sync() // what all before has left for the disk to do is nothing that f waits for
	server, err := p.serve(ctx, data, "")
	if err != nil {
		return err
	}
	defer server.stop()
	conns, hangUp, err := server.clients(ctx, n, zeoload.DialWriter)
	if err != nil {
		return err
	}
	defer hangUp()
	return f(server, conns)
}
