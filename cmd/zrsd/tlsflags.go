package main

import (
	"context"
	"net"
	"slices"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
)

// tlsFlags name the files of one side of TLS connections.
type tlsFlags struct{ tlsauth.Files }

// register adds the flags; prefix is "" or "admin-", whose is what has the certificate.
func (f *tlsFlags) register(flags *pflag.FlagSet, prefix, whose string) {
	flags.StringVar(&f.Certificate, prefix+"tls-cert", "", "`FILE` with "+whose+" certificate, for TLS")
	flags.StringVar(&f.Key, prefix+"tls-key", "", "`FILE` with its key, if it is not in the certificate file")
	flags.StringVar(&f.PasswordFile, prefix+"tls-password-file", "", "`FILE` with the password of an encrypted key")
	flags.StringVar(&f.Authority, prefix+"tls-ca", "",
		"`FILE` or folder with the authorities of the other side's certificates")
	flags.StringSliceVar(&f.Peers, prefix+"tls-peer", nil,
		"`NAME[,NAME]` of which the other side's certificate must have one")
}

// files returns nil when no flag was given.
func (f *tlsFlags) files() *tlsauth.Files {
	if f.Certificate+f.Key+f.PasswordFile+f.Authority == "" && len(f.Peers) == 0 {
		return nil
	}
	files := f.Files
	files.Peers = slices.Clone(f.Peers)
	return &files
}

// dialer returns how a client connects: with TLS when there are flags for it.
func (f *tlsFlags) dialer(e endpoint.Endpoint) (dialer, error) {
	files := f.files()
	if files == nil {
		return e.Dial, nil
	}
	credentials, err := tlsauth.Load(*files)
	if err != nil {
		return nil, cannotOpen(err)
	}
	return func(ctx context.Context) (net.Conn, error) { return credentials.Dial(ctx, e.Dial, e.Host()) }, nil
}
