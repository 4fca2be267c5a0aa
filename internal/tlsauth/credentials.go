package tlsauth

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
)

// Credentials are what Files said when they were last read. All methods may be called concurrently.
type Credentials struct {
	files   Files
	current atomic.Pointer[set]
}

// A set belongs together and never changes.
type set struct {
	own         []tls.Certificate // one, or none
	authorities *x509.CertPool    // nil: a client takes those of the system, a server asks for no certificate
	peers       []string
}

// Load reads the files. An error names the file and says what to do.
func Load(f Files) (*Credentials, error) {
	c := &Credentials{files: f}
	return c, c.Reload()
}

// Reload reads the files again, for later connections. After an error nothing changes.
func (c *Credentials) Reload() error {
	if err := c.files.check(); err != nil {
		return err
	}
	own, err := c.files.pair()
	if err != nil {
		return err
	}
	authorities, err := c.files.authorities()
	if err != nil {
		return err
	}
	c.current.Store(&set{own, authorities, c.files.Peers})
	return nil
}

// Certificate returns this side's own certificate, nil when it has none.
func (c *Credentials) Certificate() *x509.Certificate {
	if s := c.current.Load(); len(s.own) > 0 {
		return s.own[0].Leaf
	}
	return nil
}

// ClientConfig is for a library that makes connections to hosts by itself. It checks them as crypto/tls does, against
// the authorities of this moment, and shows the certificate that there is when it connects.
func (c *Credentials) ClientConfig() *tls.Config {
	s := c.current.Load()
	cfg := s.common()
	cfg.RootCAs, cfg.Certificates = s.authorities, nil
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if own := c.current.Load().own; len(own) > 0 {
			return &own[0], nil
		}
		return new(tls.Certificate), nil
	}
	return cfg
}

// server is for connections that come in. Chains are checked by crypto/tls, whose alerts tell the peer most.
func (s *set) server() *tls.Config {
	cfg := s.common()
	if s.authorities == nil {
		return cfg
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, s.authorities
	cfg.VerifyConnection = func(cs tls.ConnectionState) error { return s.nameAllowed(cs.PeerCertificates[0]) }
	return cfg
}

// client is for a connection to a host; empty: a Unix socket, which has no name that a certificate could have.
func (s *set) client(host string) *tls.Config {
	cfg := s.common()
	cfg.ServerName = host
	cfg.InsecureSkipVerify = true // VerifyConnection does it, with names that crypto/tls cannot check
	cfg.VerifyConnection = func(cs tls.ConnectionState) error { return s.verifyServer(cs, host) }
	if len(s.own) > 0 { // shown whatever authorities the server lists: its refusal then says what is wrong
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.own[0], nil }
	}
	return cfg
}

func (s *set) common() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: s.own,
		SessionTicketsDisabled: true, // a resumed session would outlive the certificates of its beginning
	}
}
