package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// askFlags are what commands to a running process have in common.
type askFlags struct {
	json    bool
	storage string
	tls     tlsFlags
}

func (f *askFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.BoolVar(&f.json, "json", false, "print the answer as JSON, see docs/commands-json.md")
	flags.StringVarP(&f.storage, "storage", "S", "", "`NAME` of the storage, where there are several")
	f.tls.register(flags, "", "this client's")
}

// connect returns how to reach the admin server of a node that was given by its address or name.
func (f *askFlags) connect(ctx context.Context, address string) (endpoint.Endpoint, dialer, error) {
	addr, err := f.tls.adminAddress(ctx, address)
	if err != nil {
		return addr, nil, badAddress(err)
	}
	dial, err := f.tls.dialer(addr)
	return addr, dial, err
}

// adminAddress reads the admin address of a node, or its name, or the path of its configuration, or of its data file,
// beside which a node answers that was given no such address.
func (f *tlsFlags) adminAddress(ctx context.Context, address string) (endpoint.Endpoint, error) {
	info, err := os.Stat(address)
	switch {
	case err != nil && mayBeName(address):
		return f.byName(ctx, address)
	case err != nil || !info.Mode().IsRegular():
		return endpoint.Parse(address)
	case isConfiguration(address, info):
		return ofFile(address)
	}
	beside, err := endpoint.BesideData(address)
	if err == nil {
		_, err = os.Stat(beside.String())
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = coded(exitUnreachable, fmt.Errorf("no zrsd has an admin socket beside %s: start it, or give the address "+
			"that is its --admin", address))
	}
	return beside, err
}

// badAddress gives an error its exit code that has none.
func badAddress(err error) error {
	var coded *codedError
	if errors.As(err, &coded) {
		return err
	}
	return usage(err)
}

// asked gives what became of a request to addr its exit code.
func asked(what string, addr endpoint.Endpoint, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s of %v: %w", what, addr, err)
	var refusal *admin.Refusal
	var silent *admin.SilentError
	switch {
	case errors.Is(err, context.Canceled):
		return coded(exitForced, err)
	case errors.Is(err, admin.ErrCut), errors.Is(err, admin.ErrUnknownOutcome):
		return coded(exitFailed, err)
	case errors.As(err, &silent):
		return coded(exitUnreachable, err) // which says what may be the matter
	case !errors.As(err, &refusal):
		return unreachable(err)
	}
	switch refusal.Reason {
	case admin.NoStorage:
		return unreachable(err)
	case admin.Invalid:
		return usage(err)
	case admin.Busy, admin.Unavailable:
		return coded(exitNotNow, err)
	case admin.NotAllowed:
		return coded(exitRefused, err)
	case admin.Unsafe:
		return coded(exitUnsafe, err)
	case admin.Failed:
	}
	return coded(exitFailed, err)
}
