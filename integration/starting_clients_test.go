package integration

import (
	"os/exec"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// TestRealClientsThatStartWithoutAPrimaryWait: who starts a ZEO client after the primary was killed gets a connection
// when another node is promoted, and no error before.
func TestRealClientsThatStartWithoutAPrimaryWait(t *testing.T) {
	nodes := servedThree(t, true)
	if err := nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	const each = 3
	ended := make(chan string)
	for _, environment := range []string{"zodb", "zeo5"} {
		for range each {
			cmd := exec.CommandContext(within(t), interpreter(t, environment), "python/starting_client.py",
				nodes[0].zeo, nodes[1].zeo, nodes[2].zeo)
			go func() {
				failure := ""
				if out, err := cmd.CombinedOutput(); err != nil {
					failure = environment + ": " + err.Error() + "\n" + string(out)
				}
				ended <- failure
			}()
		}
	}
	for waiting := 0; waiting < 2*each; {
		waiting = len(clientsOf(t, nodes[1])) + len(clientsOf(t, nodes[2]))
	}
	promoteOne(t, nodes[1:])
	for range 2 * each {
		if failure := <-ended; failure != "" {
			t.Error(failure)
		}
	}
}

func clientsOf(t *testing.T, n *served) []admin.Client {
	t.Helper()
	var list admin.ClientsDocument
	decode(t, command(t, "clients", n.admin(), "--json"), &list)
	return list.Clients
}
