package node

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/tlsauth"
)

// A pod is told by its environment where the API server is; the request has the token, and names the namespace and
// the lease.
func TestTheAPIServerOfKubernetesIsReachedAsAPodIsTold(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization") + " " + r.URL.String()
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"7"},"items":[]}`)
	}))
	defer server.Close()
	dir := t.TempDir()
	authority, token := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{authority: certificate, token: []byte("secret\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	c := CoordinatorConfig{Address: "kubernetes://plone", UserFile: token, TLS: &tlsauth.Files{Authority: authority}}
	client, err := c.Open("0a1b")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Read(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	want := "Bearer secret /apis/coordination.k8s.io/v1/namespaces/plone/leases?" +
		"labelSelector=zrsd%2Fstorage%3Dzrsd-0a1b"
	if got := <-asked; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestACoordinatorInKubernetesNeedsAPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	c := CoordinatorConfig{Address: "kubernetes://"}
	if err := c.check(false); err != nil {
		t.Errorf("the setting is refused: %v", err)
	}
	_, err := c.Open("0a1b")
	var config *ConfigError
	if !errors.As(err, &config) || !strings.Contains(err.Error(), "this is no pod of Kubernetes") {
		t.Errorf("outside of a pod: %v", err)
	}
}
