package main

import (
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/zeo"
)

// zeoStorage is the name of the one storage of a node: the one that ZEO clients ask for unless told otherwise.
const zeoStorage = "1"

// zeoFlags say where a node serves ZEO clients.
type zeoFlags struct {
	address string
	tls     tlsFlags
}

func (f *zeoFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.address, "zeo", "", "`ADDR` where ZEO clients connect, to a storage of the name "+zeoStorage)
	f.tls.register(flags, "zeo-", "the ZEO server's")
}

// config says where clients are served; nil: nowhere.
func (f *zeoFlags) config(log hclog.Logger) (*node.ZEOConfig, error) {
	at, err := optionalAddress("--zeo", f.address)
	switch tls := f.tls.files(); {
	case err != nil:
		return nil, err
	case at.IsZero() && tls != nil:
		return nil, usage(errors.New("--zeo-tls-… are of the ZEO server: give it an address with --zeo"))
	case at.IsZero():
		return nil, nil //nolint:nilnil // no clients are served
	case tls != nil && tls.Certificate == "":
		return nil, usage(errors.New("--zeo-tls-… need the ZEO server's certificate: give --zeo-tls-cert"))
	default:
		return &node.ZEOConfig{Address: at, TLS: tls, Options: zeo.Options{Logger: log.Named("zeo")}}, nil
	}
}
