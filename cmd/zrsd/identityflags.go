package main

import (
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/node"
)

// identityFlags say who a node is whose state file does not say so beyond doubt.
type identityFlags struct{ fresh, asItWas bool }

func (f *identityFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.asItWas, "as-it-was", false, "for one start, after the files were moved or the whole cluster "+
		"was restored: trust the state file")
}

// registerNew is for what may begin as primary.
func (f *identityFlags) registerNew(flags *pflag.FlagSet) {
	f.register(flags)
	flags.BoolVar(&f.fresh, "new-identity", false, "for one start: make a storage without a state file, or a copy, "+
		"a separate database")
}

func (f *identityFlags) give(c *node.Config) { c.NewIdentity, c.AsItWas = f.fresh, f.asItWas }

// giveAll does so for every storage that is replicated.
func (f *identityFlags) giveAll(p node.Process) node.Process {
	for i := range p.Storages {
		switch st := &p.Storages[i]; {
		case st.Primary != nil:
			f.give(&st.Primary.Config)
		case st.Secondary != nil:
			st.Secondary.AsItWas = f.asItWas
		}
	}
	return p
}
