package tlsauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// ErrPlainText says that a peer spoke plain text where TLS is spoken.
var ErrPlainText = errors.New("the peer speaks plain text, and this address speaks TLS: give the peer certificates, " +
	"too")

// ErrNoTLS says that a peer answered a TLS handshake in plain text, or hung up on it.
var ErrNoTLS = errors.New("the peer does not speak TLS: check the address, give the peer certificates, or leave " +
	"them out here")

// alerts are what a peer may say of our certificate, by the words of crypto/tls, and what that means.
var alerts = map[string]string{
	"tls: unknown certificate authority": "it does not know who signed this node's certificate: add the authority to " +
		"those that it trusts",
	"tls: expired certificate": "this node's certificate is out of date for it: renew the certificate, or set the " +
		"clocks right",
	"tls: certificate required": "it requires a certificate, and this node has none: give this node one",
	"tls: bad certificate": "it does not accept this node's certificate, perhaps for its name: its log has the " +
		"reason",
}

// inWords says what an error of crypto/tls means and what to do. It wraps the error; others are returned unchanged.
func inWords(err error) error {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		insecure  x509.InsecureAlgorithmError
		record    tls.RecordHeaderError
		op        *net.OpError
	)
	switch {
	case err == nil, errors.Is(err, ErrPlainText):
		return err
	case errors.As(err, &record):
		return fmt.Errorf("%w (%w)", ErrNoTLS, err)
	case errors.As(err, &insecure):
		return fmt.Errorf("the peer's certificate%s is signed in a way that is not safe any more: have it signed with "+
			"SHA-256 (%w)", of(err), err)
	case errors.As(err, &authority):
		return fmt.Errorf("the peer's certificate%s was signed by an authority that is not trusted here: add that "+
			"authority, or give the peer a certificate of one that is (%w)", of(err), err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the peer's certificate%s is out of date: renew it, or set the clocks right (%w)", of(err),
			err)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("the peer's certificate%s is not meant for this: make it with extendedKeyUsage = "+
			"serverAuth, clientAuth (%w)", of(err), err)
	case errors.As(err, &op) && op.Op == "remote error":
		if meaning, known := alerts[op.Err.Error()]; known {
			return fmt.Errorf("the peer refuses this connection: %s (%w)", meaning, err)
		}
	}
	return err
}

// of names the certificate that did not pass.
func of(err error) string {
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) || len(failed.UnverifiedCertificates) == 0 {
		return ""
	}
	return " of " + strings.Join(namesOf(failed.UnverifiedCertificates[0]), ", ")
}

// hungUp turns the end of a connection within a handshake into what is the likely reason.
func hungUp(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w (it closed the connection)", ErrNoTLS)
	}
	return err
}
