package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/tlsauth"
)

// coordinatorFlags say where the coordinator is.
type coordinatorFlags struct {
	node.CoordinatorConfig
	tls tlsauth.Files
}

func (f *coordinatorFlags) register(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.Replace(name, "referee", "coordinator", 1)) // as it was before version 0.9
	})
	flags.StringVar(&f.Address, "coordinator", "",
		"`etcd://HOST:PORT[,HOST:PORT]` that decides which node is primary; without it you change roles by hand")
	flags.StringVar(&f.Prefix, "coordinator-prefix", "", "`PREFIX` of its keys; default: /zrsd/ and the storage id")
	flags.StringVar(&f.tls.Authority, "coordinator-tls-ca", "",
		"`FILE` or folder with the authorities of the coordinator's certificates, for TLS")
	flags.StringVar(
		&f.tls.Certificate,
		"coordinator-tls-cert",
		"",
		"`FILE` with the certificate to show to the coordinator",
	)
	flags.StringVar(&f.tls.Key, "coordinator-tls-key", "", "`FILE` with its key, if it is not in the certificate file")
	flags.StringVar(&f.UserFile, "coordinator-user-file", "", "`FILE` with USER:PASSWORD for the coordinator")
}

// config returns nil when no coordinator was given.
func (f *coordinatorFlags) config() (*node.CoordinatorConfig, error) {
	tls := f.tls.Authority+f.tls.Certificate+f.tls.Key != ""
	switch {
	case f.Address == "" && (tls || f.UserFile+f.Prefix != ""):
		return nil, usage(
			errors.New("this needs a coordinator: name it with --coordinator etcd://HOST:2379"),
		)
	case f.Address == "":
		return nil, nil //nolint:nilnil // roles are changed by hand
	}
	cfg := f.CoordinatorConfig
	if tls {
		cfg.TLS = &f.tls
	}
	return &cfg, nil
}
