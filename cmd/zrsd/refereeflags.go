package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/trust"
)

// refereeFlags say where the referee is.
type refereeFlags struct {
	node.RefereeConfig
	tls trust.Files
}

func (f *refereeFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.Address, "referee", "",
		"`etcd://HOST:PORT[,HOST:PORT]` that decides which node leads; without it roles are changed by hand")
	flags.StringVar(&f.Prefix, "referee-prefix", "", "`PREFIX` of its keys; by default /zrsd/ and the storage id")
	flags.StringVar(&f.tls.Authority, "referee-tls-ca", "",
		"`FILE` or folder with the authorities of the referee's certificates, for TLS")
	flags.StringVar(&f.tls.Certificate, "referee-tls-cert", "", "`FILE` with the certificate to show to the referee")
	flags.StringVar(&f.tls.Key, "referee-tls-key", "", "`FILE` with its key, if that is not in the same one")
	flags.StringVar(&f.UserFile, "referee-user-file", "", "`FILE` with USER:PASSWORD for the referee")
}

// config returns nil when no referee was given.
func (f *refereeFlags) config() (*node.RefereeConfig, error) {
	tls := f.tls.Authority+f.tls.Certificate+f.tls.Key != ""
	switch {
	case f.Address == "" && (tls || f.UserFile+f.Prefix != ""):
		return nil, usage(errors.New("there is no referee to use that for: name it with --referee etcd://HOST:2379"))
	case f.Address == "":
		return nil, nil //nolint:nilnil // roles are changed by hand
	}
	cfg := f.RefereeConfig
	if tls {
		cfg.TLS = &f.tls
	}
	return &cfg, nil
}
