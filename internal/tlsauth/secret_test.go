package tlsauth_test

import (
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/tlsauth"
)

func TestASecretIsItsFileWithoutTheNewline(t *testing.T) {
	secret := " sixteen bytes, and spaces that count "
	for _, end := range []string{"", "\n", "\r\n", "\n\n"} {
		got, exposed, err := tlsauth.ReadSecret(put(t, "secret", secret+end))
		if err != nil || string(got) != secret || exposed {
			t.Errorf("%q: got %q, exposed %v, %v", end, got, exposed, err)
		}
	}
}

func TestASecretThatAnybodyCanReadSaysSo(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o602: true} {
		name := put(t, "secret", "0123456789abcdef")
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if _, exposed, err := tlsauth.ReadSecret(name); exposed != want || err != nil {
			t.Errorf("mode %o: exposed %v, %v", mode, exposed, err)
		}
	}
}

func TestNoSecretThatIsNone(t *testing.T) {
	for content, want := range map[string]string{
		"":                        "has 0 bytes, at least 16 are needed: make one with openssl",
		"0123456789abcde\n":       "has 15 bytes",
		strings.Repeat("x", 5000): "is it the right file?",
	} {
		_, _, err := tlsauth.ReadSecret(put(t, "secret", content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, _, err := tlsauth.ReadSecret("nowhere"); err == nil || !strings.Contains(err.Error(), "reading the secret") {
		t.Errorf("got %v", err)
	}
}
