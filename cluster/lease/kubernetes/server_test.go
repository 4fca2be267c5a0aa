package kubernetes_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/cluster/lease/kubernetes"
	"github.com/zrsd/zrsd/cluster/lease/kubernetes/kubernetestest"
)

// An apiServer opens clients of a server.
type apiServer struct{ *kubernetestest.Server }

func startServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{kubernetestest.New(false)}
	t.Cleanup(s.Close)
	return s
}

// open returns a client with a token file of its own.
func (s *apiServer) open(t *testing.T) *kubernetes.Client {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte("first\n"), 0o600))
	return s.openWith(t, token)
}

func (s *apiServer) openWith(t *testing.T, token string) *kubernetes.Client {
	t.Helper()
	c, err := kubernetes.Open(kubernetes.Options{Server: s.URL, Namespace: "plone", Name: "zrsd-1", TokenFile: token})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}
