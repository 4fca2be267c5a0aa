package tlsauth

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds every file that is read here, in bytes. The authorities of a whole operating system take a quarter.
const maxFile = 1 << 20

// Files name what one side of a TLS connection needs. All are in PEM form.
type Files struct {
	// Certificate is this side's own, followed by intermediate ones, if any. A server needs one.
	Certificate string
	// Key is its private key. Empty: the key is in the file of the certificate.
	Key string
	// PasswordFile has the password of an encrypted key in its first line. Empty: the key is not encrypted.
	PasswordFile string
	// Authority has the certificates that peers' certificates must lead to. A folder stands for all files in it.
	Authority string
	// Peers are the names of which a peer's certificate must have one. Empty: see the package comment.
	Peers []string
}

// check reports the first combination that makes no sense.
func (f *Files) check() error {
	switch {
	case f.Certificate == "" && (f.Key != "" || f.PasswordFile != ""):
		return errors.New("a key without a certificate: name the file of the certificate, too")
	case f.Authority == "" && len(f.Peers) > 0:
		return errors.New("names of peers without an authority: name the file of the authority that signs their " +
			"certificates")
	}
	for _, name := range f.Peers {
		if strings.TrimSpace(name) == "" {
			return errors.New("an empty name among those of the peers: leave it out")
		}
	}
	return nil
}

// pair reads the certificate and its key.
func (f *Files) pair() ([]tls.Certificate, error) {
	if f.Certificate == "" {
		return nil, nil
	}
	certPEM, err := readFile(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	keyPEM, err := f.key(certPEM)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and its key: %w", f.Certificate, err)
	}
	return []tls.Certificate{cert}, nil
}

// key reads the private key and returns it without its encryption.
func (f *Files) key(certPEM []byte) (keyPEM []byte, err error) {
	name := f.Certificate
	keyPEM = certPEM
	if f.Key != "" {
		name = f.Key
		if keyPEM, err = readFile(f.Key); err != nil {
			return nil, fmt.Errorf("reading the key: %w", err)
		}
	}
	password, err := f.password()
	if err != nil {
		return nil, err
	}
	keyPEM, err = decrypt(keyPEM, password)
	if err != nil {
		return nil, fmt.Errorf("the key in %s: %w", name, err)
	}
	return keyPEM, nil
}

// password returns nil when there is none.
func (f *Files) password() ([]byte, error) {
	if f.PasswordFile == "" {
		return nil, nil
	}
	b, err := readFile(f.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("reading the password of the key: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, fmt.Errorf("the password file %s: its first line is empty: write the password there",
			f.PasswordFile)
	}
	return line, nil
}

// authorities returns nil when there is no file of them.
func (f *Files) authorities() (*x509.CertPool, error) {
	if f.Authority == "" {
		return nil, nil //nolint:nilnil // no authority is a setting, which crypto/tls spells the same way
	}
	names, err := filesIn(f.Authority)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities: %w", err)
	}
	pool, n := x509.NewCertPool(), 0
	for _, name := range names {
		added, err := addTo(pool, name)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities: %w", err)
		}
		n += added
	}
	if n == 0 {
		return nil, fmt.Errorf("%s has no certificate of an authority: it must have at least one, as "+
			"-----BEGIN CERTIFICATE-----", f.Authority)
	}
	return pool, nil
}

// filesIn returns path itself, or the regular files in the folder of that name.
func filesIn(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() { // links too, as those of c_rehash
			names = append(names, name)
		}
	}
	return names, err
}

// addTo adds the certificates in a file and returns how many there are.
func addTo(pool *x509.CertPool, name string) (n int, err error) {
	rest, err := readFile(name)
	if err != nil {
		return 0, err
	}
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return n, nil
		}
		if block.Type != blockCertificate {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return 0, fmt.Errorf("%s: certificate %d in it: %w", name, n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
}

// The types of PEM blocks that mean something here.
const (
	blockCertificate  = "CERTIFICATE"
	blockPrivateKey   = "PRIVATE KEY"
	blockEncryptedKey = "ENCRYPTED PRIVATE KEY"
)

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d bytes", maxFile)}
	}
	return b, nil
}

// minSecret is the least number of bytes of a shared secret. 32 random characters are better; below this an attacker
// who has seen one handshake can guess it.
const minSecret = 16

// maxSecret keeps a wrong file name from becoming a secret.
const maxSecret = 4096

// othersRead is the part of a file's mode that lets people other than its owner and its group read it.
const othersRead = 0o007

// ReadSecret returns the secret in a file, which is all of it but the newlines at its end. Exposed is set when
// everybody on this machine may read or change the file.
func ReadSecret(name string) (secret []byte, exposed bool, err error) {
	b, err := readFile(name)
	if err != nil {
		return nil, false, fmt.Errorf("reading the secret: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, false, fmt.Errorf("reading the secret: %w", err)
	}
	secret = bytes.TrimRight(b, "\r\n")
	switch {
	case len(secret) < minSecret:
		return nil, false, fmt.Errorf("the secret in %s has %d bytes, at least %d are needed: make one with "+
			"openssl rand -base64 32", name, len(secret), minSecret)
	case len(secret) > maxSecret:
		return nil, false, fmt.Errorf("the secret in %s has %d bytes, at most %d can be: is it the right file?", name,
			len(secret), maxSecret)
	}
	return secret, info.Mode().Perm()&othersRead != 0, nil
}
