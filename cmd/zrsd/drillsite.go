package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/drill"
	"github.com/zrsd/zrsd/internal/drill/cluster"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// siteFlags name a cluster that is there already.
type siteFlags struct {
	primary, secondaries, zeo string
	tls                       tlsFlags
	yes                       bool
}

func (f *siteFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.primary, "primary", "",
		"--admin `ADDR` of the primary of an existing cluster: use that cluster")
	flags.StringVar(&f.secondaries, "secondary", "", "--admin `ADDR[,ADDR]` of its secondaries")
	flags.StringVar(&f.zeo, "zeo", "", "`ADDR,ADDR` where they serve ZEO clients: the primary, then the secondaries")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before committing to that cluster")
	f.tls.register(flags, "", "this client's")
}

func (f *siteFlags) given() bool { return f.primary+f.secondaries+f.zeo != "" }

// scenarios are those that can be played there, or on a cluster of the drill's own.
func (f *siteFlags) scenarios() []drill.Scenario {
	if f.given() {
		return drill.StagingScenarios()
	}
	return drill.Scenarios()
}

// places returns where the nodes can be reached, the primary first.
func (f *siteFlags) places() ([]cluster.Address, error) {
	if f.primary == "" || f.secondaries == "" || f.zeo == "" {
		return nil, usage(errors.New("--primary, --secondary and --zeo belong together: give all three, or none"))
	}
	admins, err := endpoint.ParseList(f.primary + "," + f.secondaries)
	if err != nil {
		return nil, usage(err)
	}
	zeos, err := endpoint.ParseList(f.zeo)
	if err != nil {
		return nil, flagError("--zeo", err)
	}
	if len(zeos) != len(admins) {
		return nil, usage(fmt.Errorf("--zeo has %d addresses, and there are %d nodes: give one for each, that of the "+
			"primary first", len(zeos), len(admins)))
	}
	var places []cluster.Address
	for i, a := range admins {
		dial, err := f.tls.dialer(a)
		if err != nil {
			return nil, err
		}
		places = append(places, cluster.Address{Admin: dial, ZEO: zeos[i].String()})
	}
	return places, nil
}

// confirm asks whether to commit.
func (f *siteFlags) confirm(in io.Reader, out io.Writer) error {
	if f.yes {
		return nil
	}
	fmt.Fprintf(out, "This changes which node is primary, freezes and packs the cluster at %s, and commits to\n"+
		"objects of its own there. Clients that write will have to connect again. Continue? Type yes: ", f.primary)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return coded(exitRefused, errors.New("nothing was done: confirm with --yes"))
	}
	return nil
}

// A player plays scenarios somewhere.
type player = func(ctx context.Context, scenarios []drill.Scenario, opt drill.Options) (*drill.Report, error)

// player returns who plays on the cluster, if there is one, when it is sure that it may be used.
func (f *siteFlags) player(in io.Reader, out io.Writer) (player, error) {
	if !f.given() {
		return drill.Play, nil
	}
	places, err := f.places()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, scenarios []drill.Scenario, opt drill.Options) (*drill.Report, error) {
		return drill.PlayOn(ctx, scenarios, places, opt)
	}, f.confirm(in, out)
}
