package tlsauth_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
)

func put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesThatMakeNoSenseAreRefusedWithAnInstruction(t *testing.T) {
	ca := tlsauthtest.NewAuthority(t, t.TempDir(), "ca")
	good, other := ca.Issue(t, "a"), ca.Issue(t, "b")
	for want, change := range map[string]func(*tlsauth.Files){
		"name the file of the certificate":   func(f *tlsauth.Files) { f.Certificate = "" },
		"name the file of the authority":     func(f *tlsauth.Files) { f.Authority, f.Peers = "", []string{"a"} },
		"an empty name":                      func(f *tlsauth.Files) { f.Peers = []string{"a", ""} },
		"reading the certificate: open":      func(f *tlsauth.Files) { f.Certificate = "nowhere" },
		"reading the key: open":              func(f *tlsauth.Files) { f.Key = "nowhere" },
		"reading the authorities":            func(f *tlsauth.Files) { f.Authority = "nowhere" },
		"does not match":                     func(f *tlsauth.Files) { f.Key = other.Key },
		"has no certificate of an authority": func(f *tlsauth.Files) { f.Authority = good.Key },
		"reading the password":               func(f *tlsauth.Files) { f.PasswordFile = "nowhere" },
		"its first line is empty":            func(f *tlsauth.Files) { f.PasswordFile = put(t, "pw", "\nsecret\n") },
		"more than 1048576 bytes": func(f *tlsauth.Files) {
			f.Certificate = put(t, "c", strings.Repeat("x", 1<<20+1))
		},
		"certificate 1 in it": func(f *tlsauth.Files) {
			f.Authority = put(t, "ca", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
		},
	} {
		f := good
		change(&f)
		if _, err := tlsauth.Load(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := tlsauth.Load(tlsauth.Files{}); err != nil {
		t.Errorf("a client that trusts its system: %v", err)
	}
}

func TestCertificateAndKeyCanBeInOneFile(t *testing.T) {
	f := tlsauthtest.NewAuthority(t, t.TempDir(), "ca").Issue(t, "a")
	cert, err := os.ReadFile(f.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tlsauth.Load(tlsauth.Files{Certificate: put(t, "both", string(cert)+string(key))}); err != nil {
		t.Error(err)
	}
}

// The keys in testdata belong to one certificate; OpenSSL 3.0 encrypted them with the password "sesame".
func TestEncryptedKeysOpenWithTheirPassword(t *testing.T) {
	keys, err := filepath.Glob("testdata/*.key")
	if err != nil || len(keys) != 5 {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		f := tlsauth.Files{Certificate: "testdata/node.crt", Key: key}
		check := func(password string, want error) {
			t.Helper()
			f.PasswordFile = ""
			if password != "" {
				f.PasswordFile = put(t, "pw", password)
			}
			if _, err := tlsauth.Load(f); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), key) {
				t.Errorf("%s with password %q: got %v, want %v", key, password, err, want)
			}
		}
		check("sesame", nil)
		check("sesame\r\nand a comment\n", nil)
		check("Sesame\n", tlsauth.ErrPassword)
		check("", tlsauth.ErrNoPassword)
	}
}

func TestAKeyThatIsEncryptedInAnotherWaySaysHowToConvertIt(t *testing.T) {
	f := tlsauth.Files{
		Certificate:  "testdata/node.crt",
		Key:          "testdata/node.3des",
		PasswordFile: put(t, "pw", "sesame"),
	}
	if _, err := tlsauth.Load(f); err == nil || !strings.Contains(err.Error(), "openssl pkcs8 -topk8 -v2 aes-256-cbc") {
		t.Errorf("got %v", err)
	}
}

func FuzzEncryptedKey(f *testing.F) {
	keys, err := filepath.Glob("testdata/*.key")
	if err != nil || len(keys) == 0 {
		f.Fatalf("no keys: %v", err)
	}
	for _, key := range keys {
		b, err := os.ReadFile(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	dir := f.TempDir()
	password := filepath.Join(dir, "pw")
	if err := os.WriteFile(password, []byte("sesame"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, key, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tlsauth.Load(tlsauth.Files{Certificate: "testdata/node.crt", Key: name, PasswordFile: password})
		if err == nil && !bytes.Contains(key, []byte("PRIVATE KEY")) {
			t.Error("no key, and no error")
		}
	})
}
