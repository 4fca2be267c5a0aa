package tlsauth

import (
	"bytes"
	"fmt"
	"os"
)

// minSecret is how many bytes a shared secret has at least. 32 random characters are better; below this somebody who
// has seen one handshake can guess.
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
