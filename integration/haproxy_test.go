package integration

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/drill/zeoclients"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// haproxyFile is the configuration in docs/operations.md, for nodes at these two addresses.
func haproxyFile(t *testing.T, bind, readOnly, zeoPort, adminPort string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```\ndefaults\n    mode tcp\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/operations.md has no configuration of haproxy")
	}
	conf := "global\n    maxconn 100\ndefaults\n    mode tcp\n" + strings.NewReplacer(
		"bind :8100", "bind "+bind, "bind :8101", "bind "+readOnly, "port 8080", "port "+adminPort,
		"db1:8100", "127.0.0.1:"+zeoPort, "db2:8100", "127.0.0.2:"+zeoPort).Replace(block)
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runHaproxy runs a real haproxy until the end of the test.
func runHaproxy(t *testing.T, conf string) {
	t.Helper()
	var said strings.Builder
	cmd := exec.Command(needsProgram(t, "haproxy"), "-db", "-f", conf)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said:\n%s", &said)
		}
	})
}

// awaitReader has real clients connect to read, one after the other, until the node with an admin address serves one.
func awaitReader(t *testing.T, address, admins string) {
	t.Helper()
	const script = `
import sys, ZEO.ClientStorage
host, port = sys.argv[1].split(':')
storage = ZEO.ClientStorage.ClientStorage((host, int(port)), read_only=True, wait_timeout=60)
print(storage.is_read_only(), flush=True)
sys.stdin.read()
storage.close()
`
	e, err := endpoint.Parse(admins)
	if err != nil {
		t.Fatal(err)
	}
	for ctx := within(t); ; {
		cmd := exec.CommandContext(ctx, interpreter(t, "zodb"), "-c", script, address)
		var said strings.Builder
		cmd.Stderr = &said
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil || line != "True\n" {
			t.Fatalf("the reader says %q: %v\n%s", line, err, &said)
		}
		_, doc, err := admin.AskClients(ctx, e.Dial, "")
		if err != nil {
			t.Fatal(err)
		}
		served := slices.ContainsFunc(doc.Clients, func(c admin.Client) bool { return c.Storage != nil && c.ReadOnly })
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if served {
			return
		}
	}
}

// TestClientsBehindHaproxyFollowASwitchover: with the configuration of docs/operations.md real clients that know one
// address commit to the primary, and to the next one, and readers are served by the node that is none.
func TestClientsBehindHaproxyFollowASwitchover(t *testing.T) {
	t.Parallel()
	_, zeoPort, _ := net.SplitHostPort(freeAddress(t))
	_, adminPort, _ := net.SplitHostPort(freeAddress(t))
	var admins []string
	var nodes []*daemon.Process
	var replications [2]string
	for i := range replications {
		replications[i] = freeAddress(t)
	}
	for i, role := range []string{"members", "replicate-from"} {
		host := fmt.Sprintf("127.0.0.%d", i+1)
		n := &served{site: newSite(t, false), name: string(rune('a' + i))}
		if i == 0 {
			n.open(t).Close()
		}
		admins = append(admins, net.JoinHostPort(host, adminPort))
		n.conf = fmt.Sprintf("<zeo>\naddress %s:%s\n</zeo>\n<admin>\naddress %s\n</admin>\n<zrs 1>\nname %s\n"+
			"replicate-to %s\n%s %s\n<filestorage>\npath %s\n</filestorage>\n</zrs>\n", host, zeoPort, admins[i],
			n.name, replications[i], role, replications[1-i], n.data)
		if err := os.WriteFile(n.file(), []byte(n.conf), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := daemon.StartConfigured(zrsd, admins[i], nil, "serve", "-C", n.file())
		if err != nil {
			t.Fatal(err)
		}
		untilTheEnd(t, n.name, p)
		nodes = append(nodes, p)
	}
	for _, p := range nodes {
		_, err := p.Await(within(t), "it is ready", func(st *admin.Status) bool { return st.Ready })
		if err != nil {
			t.Fatal(err)
		}
	}
	writers, readers := freeAddress(t), freeAddress(t)
	runHaproxy(t, haproxyFile(t, writers, readers, zeoPort, adminPort))

	clients, err := zeoclients.Start(interpreter(t, "zodb"), 50*time.Millisecond, writers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clients.Close(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	for i := range 2 {
		mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
		awaitReader(t, readers, admins[1-i])
		zrsdDoes(t, "switchover", admins[i], admins[1-i])
	}
	mustCommit(t, []*zeoclients.Clients{clients}, time.Now())
}
