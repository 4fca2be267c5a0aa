package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/zeo/client"
)

// probeTimeout is how long a node may take to say that it is one, where it may be none.
const probeTimeout = 3 * time.Second

// replication returns where secondaries connect to a node: the address that a flag was given, or where that is the
// node's admin address or the path of its data file, what the node says. A replication port answers the question with
// its name, and logs nothing.
func (f *tlsFlags) replication(ctx context.Context, flag, given string) (endpoint.Endpoint, error) {
	addr, err := f.adminAddress(ctx, given)
	if err != nil {
		return addr, badFlagAddress(flag, err)
	}
	st, err := f.probe(ctx, addr)
	switch {
	case err != nil:
		return addr, nil //nolint:nilerr // it is no admin address: who connects there says what it is
	case len(st.Storages) > 0:
		return addr, usage(fmt.Errorf("%s %s: the process there has several storages: give the address that is "+
			"replicate-to of one of them", flag, given))
	case st.ReplicationAddr == nil:
		return addr, coded(exitRefused, fmt.Errorf("%s %s: no secondaries can connect to that node: start it with "+
			"--replicate-to", flag, given))
	}
	found, err := endpoint.Parse(*st.ReplicationAddr)
	return found, flagError(flag, err)
}

// replications does so for several addresses with commas between them, at the same time: one that is silent takes as
// long as all of them.
func (f *tlsFlags) replications(ctx context.Context, flag, given string) ([]endpoint.Endpoint, error) {
	names := strings.Split(given, ",")
	list := make([]endpoint.Endpoint, len(names))
	var g errgroup.Group
	for i, one := range names {
		g.Go(func() (err error) {
			list[i], err = f.replication(ctx, flag, strings.TrimSpace(one))
			return err
		})
	}
	return list, g.Wait()
}

// dialZEO connects to the ZEO server that a flag names: by its address, or by the admin address of the node or the path
// of its data file.
func (f *tlsFlags) dialZEO(ctx context.Context, flag, given string, opt client.Options) (*client.Conn, error) {
	addr, err := f.adminAddress(ctx, given)
	if err != nil {
		return nil, badFlagAddress(flag, err)
	}
	if st, err := f.probe(ctx, addr); err == nil {
		if addr, err = zeoOf(st, addr); err != nil {
			return nil, err
		}
	}
	dial, err := f.dialer(addr)
	if err != nil {
		return nil, err
	}
	opt.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }
	conn, err := client.Dial(ctx, []string{addr.String()}, opt)
	return conn, notReached(err, "--zeo")
}

// zeoOf returns where a node that answers at an admin address serves ZEO clients.
func zeoOf(st *admin.Status, addr endpoint.Endpoint) (endpoint.Endpoint, error) {
	if st.ZEOAddr == nil {
		return addr, coded(exitRefused, fmt.Errorf("the node at %v serves no ZEO clients: start it with --zeo", addr))
	}
	found, err := endpoint.Parse(*st.ZEOAddr)
	return onHost(found, addr.Host()), err
}

// onHost returns an address of all interfaces as one of a host; of none: of this machine.
func onHost(addr endpoint.Endpoint, host string) endpoint.Endpoint {
	if addr.Network() == "unix" || host == "" {
		return addr
	}
	if own := addr.Host(); own != "" && !net.ParseIP(own).IsUnspecified() {
		return addr
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr
	}
	moved, err := endpoint.Parse(net.JoinHostPort(host, port))
	if err != nil {
		return addr
	}
	return moved
}

// probe asks for a status what may be no admin address.
func (f *tlsFlags) probe(ctx context.Context, addr endpoint.Endpoint) (*admin.Status, error) {
	dial, err := f.dialer(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %v", probeTimeout))
	defer cancel()
	_, st, err := admin.Fetch(ctx, dial, "")
	return st, err
}

// badFlagAddress names the flag that has an address that is none, and leaves other errors as they are.
func badFlagAddress(flag string, err error) error {
	var coded *codedError
	if errors.As(err, &coded) {
		return err
	}
	return flagError(flag, err)
}
