package tlsauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of the format; it derives a key from a password, no signature
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// Errors of encrypted keys.
var (
	ErrPassword   = errors.New("the password does not open it: check the password file")
	ErrNoPassword = errors.New("it is encrypted: put its password into a file and name that file")
)

// maxIterations bounds the work that a key file can ask for; OpenSSL's default is 2048, and nobody is near a million.
const maxIterations = 10_000_000

// decrypt returns keyPEM with its private key in plain form. Encrypted are PKCS#8 keys (RFC 5958 with PBES2 of RFC
// 8018: PBKDF2 and AES-CBC, what OpenSSL has written since 1.1.0) and the older form with a DEK-Info header.
func decrypt(keyPEM, password []byte) ([]byte, error) {
	for rest := keyPEM; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return keyPEM, nil
		}
		open := openerOf(block)
		if open == nil {
			continue
		}
		if password == nil {
			return nil, ErrNoPassword
		}
		der, err := open(password)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: plainType(block.Type), Bytes: der}), nil
	}
}

// openerOf returns what decrypts a block, nil when it is not encrypted.
func openerOf(block *pem.Block) func(password []byte) ([]byte, error) {
	switch {
	case block.Type == blockEncryptedKey:
		return func(password []byte) ([]byte, error) { return openPKCS8(block.Bytes, password) }
	case block.Headers["DEK-Info"] != "":
		return func(password []byte) ([]byte, error) {
			//lint:ignore SA1019 weak, and in use: whoever gets at the file gets at the password file beside it, too
			der, err := x509.DecryptPEMBlock(block, password) //nolint:staticcheck // see above
			if errors.Is(err, x509.IncorrectPasswordError) {
				err = ErrPassword
			}
			return der, err
		}
	}
	return nil
}

func plainType(blockType string) string {
	if blockType == blockEncryptedKey {
		return blockPrivateKey
	}
	return blockType
}

// An encryptedKey is EncryptedPrivateKeyInfo of RFC 5958.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// pbes2 and kdf are PBES2-params and PBKDF2-params of RFC 8018.
type pbes2 struct {
	Derivation, Encryption pkix.AlgorithmIdentifier
}

type kdf struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	Hash       pkix.AlgorithmIdentifier `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// hashes by the object identifier of their HMAC; none stands for SHA-1.
var hashes = map[string]func() hash.Hash{
	"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
	"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
}

// keyLengths of AES-CBC, in bytes.
var keyLengths = map[string]int{
	"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32,
}

// openPKCS8 returns the DER of the PKCS#8 key inside.
func openPKCS8(der, password []byte) ([]byte, error) {
	var k encryptedKey
	if err := unmarshal(der, &k); err != nil {
		return nil, err
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, unsupported("scheme", k.Algorithm)
	}
	var p pbes2
	if err := unmarshal(k.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	keyLength, known := keyLengths[p.Encryption.Algorithm.String()]
	if !known {
		return nil, unsupported("cipher", p.Encryption)
	}
	key, err := derive(p.Derivation, password, keyLength)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if err := unmarshal(p.Encryption.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	return openCBC(key, iv, k.Data)
}

func derive(a pkix.AlgorithmIdentifier, password []byte, keyLength int) ([]byte, error) {
	if !a.Algorithm.Equal(oidPBKDF2) {
		return nil, unsupported("key derivation", a)
	}
	var d kdf
	if err := unmarshal(a.Parameters.FullBytes, &d); err != nil {
		return nil, err
	}
	h, known := hashes[d.Hash.Algorithm.String()]
	switch {
	case !known:
		return nil, unsupported("hash", d.Hash)
	case d.Iterations < 1 || d.Iterations > maxIterations:
		return nil, fmt.Errorf("%d iterations of its key derivation, at most %d are done", d.Iterations, maxIterations)
	}
	return pbkdf2.Key(h, string(password), d.Salt, d.Iterations, keyLength)
}

// openCBC decrypts and takes the padding off: n bytes of the value n, which a wrong password hardly ever yields.
func openCBC(key, iv, data []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errors.New("it is damaged: its lengths do not fit its cipher")
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	n := int(out[len(out)-1])
	if n < 1 || n > aes.BlockSize {
		return nil, ErrPassword
	}
	for _, b := range out[len(out)-n:] {
		if int(b) != n {
			return nil, ErrPassword
		}
	}
	out = out[:len(out)-n]
	if _, err := x509.ParsePKCS8PrivateKey(out); err != nil {
		return nil, ErrPassword
	}
	return out, nil
}

func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes after its end")
	}
	if err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return nil
}

func unsupported(what string, a pkix.AlgorithmIdentifier) error {
	return fmt.Errorf("its %s %v is not supported: convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD "+
		"-out NEW", what, a.Algorithm)
}
