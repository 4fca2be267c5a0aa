package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/internal/admin"
)

type reconOptions struct{ askFlags }

const reconHelp = `Asks several nodes at their --admin addresses, and says of all together how far secondaries
are behind, when each storage was last verified, what was found, and which node is the worst. If a
process has several storages it asks for each, or for the one of --storage.

Exits with 0 when all have answered and none has found damage, with 1 when one has found damage, with 4
when one does not answer.`

func reconCommand() *cobra.Command {
	var opt reconOptions
	cmd := &cobra.Command{
		Use:     "recon ADDR... [--storage NAME] [--json]",
		Short:   "show lag and verification of several nodes together",
		Long:    reconHelp,
		Example: "  zrsd recon db1:5001 db2:5001 db3:5001",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(errors.New("which nodes? Name their --admin addresses"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opt.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	opt.register(cmd.Flags())
	return cmd
}

// run asks all at once.
func (opt *reconOptions) run(ctx context.Context, addresses []string, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("no answer within %v", statusTimeout))
	defer cancel()
	dials := make([]dialer, len(addresses))
	for i, address := range addresses {
		addr, err := opt.tls.adminAddress(ctx, address)
		if err != nil {
			return badAddress(err)
		}
		if dials[i], err = opt.tls.dialer(addr); err != nil {
			return err
		}
	}
	answers, errs := make([][]*admin.Status, len(addresses)), make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, dial := range dials {
		asking.Go(func() { answers[i], errs[i] = opt.statuses(ctx, dial) })
	}
	asking.Wait()
	r := admin.NewRecon()
	for i, address := range addresses {
		if errs[i] != nil {
			r.NoAnswer[address] = errs[i].Error()
		}
		for _, st := range answers[i] {
			r.Add(address, st)
		}
	}
	return opt.tell(out, r)
}

// statuses returns that of each storage of a process, or of the one that was named.
func (opt *reconOptions) statuses(ctx context.Context, dial dialer) (list []*admin.Status, err error) {
	_, st, err := admin.Fetch(ctx, dial, opt.storage)
	switch {
	case err != nil:
		return nil, err
	case len(st.Storages) == 0:
		return append(list, st), nil
	}
	for _, m := range st.Storages {
		_, one, err := admin.Fetch(ctx, dial, m.Name)
		if err != nil {
			return list, err
		}
		one.Name += " " + m.Name
		list = append(list, one)
	}
	return list, nil
}

func (opt *reconOptions) tell(out io.Writer, r *admin.Recon) (err error) {
	if opt.json {
		err = json.NewEncoder(out).Encode(r)
	} else {
		err = admin.WriteRecon(out, r)
	}
	switch {
	case err != nil:
		return err
	case r.Verification.Damages > 0:
		return errFound
	case len(r.NoAnswer) > 0:
		return coded(exitUnreachable, errTold)
	}
	return nil
}
