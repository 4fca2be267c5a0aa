package tlsauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A nameError says that a peer has a good certificate, of a name that is not allowed here.
type nameError struct {
	names   []string // in the certificate
	allowed []string
	host    string // instead of Allowed: the host that was connected to
	err     error
}

func (e *nameError) Error() string {
	has := "no name"
	if len(e.names) > 0 {
		has = strings.Join(e.names, ", ")
	}
	if e.host != "" {
		return fmt.Sprintf("the peer's certificate is not for the host %s, it has %s: connect by a name that it has, "+
			"or allow that name as the peer's", e.host, has)
	}
	return fmt.Sprintf("the peer's certificate has %s, and allowed here is %s: allow its name, or give it a "+
		"certificate with one that is", has, strings.Join(e.allowed, ", "))
}

// Unwrap says that it is a certificate which does not pass.
func (e *nameError) Unwrap() error { return &tls.CertificateVerificationError{Err: e.err} }

// verifyServer is for VerifyConnection of a client.
func (s *set) verifyServer(cs tls.ConnectionState, host string) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the peer has no certificate")
	}
	leaf := cs.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	opt := x509.VerifyOptions{Roots: s.authorities, Intermediates: between}
	if _, err := leaf.Verify(opt); err != nil { // its purpose included: that of a server
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	if len(s.peers) > 0 || host == "" {
		return s.nameAllowed(leaf)
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return &nameError{names: namesOf(leaf), host: host, err: err}
	}
	return nil
}

// nameAllowed compares with the names of peers, where there are any.
func (s *set) nameAllowed(leaf *x509.Certificate) error {
	names := namesOf(leaf)
	allowed := func(name string) bool {
		return slices.ContainsFunc(s.peers, func(p string) bool { return strings.EqualFold(p, name) })
	}
	if len(s.peers) == 0 || slices.ContainsFunc(names, allowed) {
		return nil
	}
	return &nameError{names: names, allowed: s.peers}
}

// namesOf returns the DNS names of a certificate and its common name.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	if cn := c.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		names = append(names, cn)
	}
	return names
}
