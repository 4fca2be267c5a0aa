package integration

import (
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/cluster/lease/kubernetes/kubernetestest"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
	"github.com/zrsd/zrsd/zodb"
)

// inPods starts three nodes, of which the first leads, as in pods of Kubernetes: the environment says where the API
// server is, and a file has the token.
func inPods(t *testing.T) (*kubernetestest.Server, []*member) {
	t.Helper()
	api := kubernetestest.New(true)
	t.Cleanup(api.Close)
	host, port, err := net.SplitHostPort(api.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	for name, text := range map[string][]byte{"ca.crt": authority, "token": []byte(kubernetestest.Token + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environment := []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	return api, threeMembers(t, environment, func(int) []string {
		return []string{"--coordinator", "kubernetes://plone", "--coordinator-tls-ca", filepath.Join(dir, "ca.crt"),
			"--coordinator-user-file", filepath.Join(dir, "token")}
	})
}

// away has the API server answer that it cannot, which is what it does when its etcd is away; and back again.
func away(api *kubernetestest.Server) (back func()) {
	api.SetFault(func(*http.Request) kubernetestest.Fault { return kubernetestest.Fails })
	return func() { api.SetFault(nil) }
}

// TestKubernetesFindsANewPrimaryForOneThatWasKilled: everything that clients were told is there, and real clients,
// which know all nodes, go on.
func TestKubernetesFindsANewPrimaryForOneThatWasKilled(t *testing.T) {
	t.Parallel()
	_, nodes := inPods(t)
	crowd, err := zeoclients.Start(interpreter(t, "zodb"), 50*time.Millisecond, nodes[0].zeo, nodes[1].zeo,
		nodes[2].zeo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := crowd.Close(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	mustCommit(t, []*zeoclients.Clients{crowd}, time.Now())
	const first, last = 1_000_000, 1_000_010
	commits(t, nodes[0].client(t), first, last, nodes[0])
	kill(t, nodes[0].Process)
	next := leader(t, nodes[1:])
	mustCommit(t, []*zeoclients.Clients{crowd}, time.Now())
	c := next.client(t)
	for i := first; i <= last; i++ {
		if _, err := c.Load(within(t), zodb.Oid(i)); err != nil {
			t.Errorf("object %d, which was told to be committed: %v", i, err)
		}
	}
	commits(t, c, last+1, last+10, nodes[1:]...)
}

// TestAPrimaryInAPodThatWasStoppedTellsNobodyOfACommitThatTheNewOneLacks: the process is stopped while a client writes,
// and goes on when another node leads.
func TestAPrimaryInAPodThatWasStoppedTellsNobodyOfACommitThatTheNewOneLacks(t *testing.T) {
	t.Parallel()
	_, nodes := inPods(t)
	isReplacedWhileItIsStopped(t, nodes)
}

// TestCommitsAreHeldWhileTheAPIServerIsAway: after the end of the lease nobody hears of a commit; they go on when it is
// back, on the same primary, and the nodes warn meanwhile.
func TestCommitsAreHeldWhileTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	api, nodes := inPods(t)
	c := nodes[0].client(t)
	before := commits(t, c, 1, 5, nodes...)
	back := away(api)
	nodes[0].await(t, "its lease is over", func(s *admin.Status) bool { return s.Coordinator.LeaseRemaining == 0 })
	ctx, told := within(t), make(chan error, 1)
	go func() {
		_, err := commit(ctx, c, 6)
		told <- err
	}()
	nodes[1].await(t, "it has the transaction that is held", newerThan(before))
	select {
	case err := <-told:
		t.Fatalf("told without a lease: %v", err)
	default:
	}
	back()
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	s := nodes[0].await(t, "it has a lease", func(s *admin.Status) bool { return s.Coordinator.LeaseRemaining > 0 })
	if s.Role != "primary" || s.Epoch.Number != 1 {
		t.Errorf("the primary became %s of epoch %d", s.Role, s.Epoch.Number)
	}
}
