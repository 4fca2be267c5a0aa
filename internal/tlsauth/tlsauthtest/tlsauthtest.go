// Package tlsauthtest makes certificates for tests, as files, in the ways that operators make them.
package tlsauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/tlsauth"
)

// An Authority signs certificates.
type Authority struct {
	File string // its certificate
	cert *x509.Certificate
	key  crypto.Signer
	dir  string
}

// NewAuthority makes an authority whose files, and those of what it signs, are in dir.
func NewAuthority(tb testing.TB, dir, name string) *Authority {
	tb.Helper()
	key := ecKey(tb)
	cert := template(name)
	cert.IsCA, cert.KeyUsage, cert.DNSNames = true, x509.KeyUsageCertSign, nil
	der := sign(tb, cert, cert, key.Public(), key)
	a := &Authority{File: filepath.Join(dir, name+".pem"), key: key, dir: dir}
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	write(tb, a.File, "CERTIFICATE", der)
	return a
}

// Issue makes a certificate with one name, good for both sides of a connection for a month unless change says
// otherwise. A certificate of the same name is replaced. The authority of the result is this one.
func (a *Authority) Issue(tb testing.TB, name string, change ...func(*x509.Certificate)) tlsauth.Files {
	tb.Helper()
	key := ecKey(tb)
	cert := template(name)
	for _, f := range change {
		f(cert)
	}
	return files(tb, a.dir, name, sign(tb, cert, a.cert, key.Public(), a.key), key, a.File)
}

// SelfSigned makes a certificate that is its own authority, signed with SHA-1 as those of ZEO's documentation once
// were, when sha1 is set.
func SelfSigned(tb testing.TB, dir, name string, sha1 bool) tlsauth.Files {
	tb.Helper()
	cert := template(name)
	cert.IsCA, cert.KeyUsage, cert.ExtKeyUsage, cert.DNSNames = true, 0, nil, nil
	var key crypto.Signer = ecKey(tb)
	if sha1 {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			tb.Fatal(err)
		}
		cert.SignatureAlgorithm = x509.SHA1WithRSA
	}
	return files(tb, dir, name, sign(tb, cert, cert, key.Public(), key), key, filepath.Join(dir, name+".crt"))
}

// Expired is a change for Issue.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// ForServersOnly is a change for Issue.
func ForServersOnly(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
}

func ecKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, cert, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, by)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func files(tb testing.TB, dir, name string, der []byte, key crypto.Signer, authority string) tlsauth.Files {
	tb.Helper()
	f := tlsauth.Files{Certificate: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key"),
		Authority: authority}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, f.Certificate, "CERTIFICATE", der)
	write(tb, f.Key, "PRIVATE KEY", keyDER)
	return f
}

func write(tb testing.TB, name, kind string, der []byte) {
	tb.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}
