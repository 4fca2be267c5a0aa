package node

import (
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/secondary"
)

func TestEveryStateAndEveryReasonForARefusalIsDocumented(t *testing.T) {
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	contract, err := os.ReadFile("../../docs/status-json.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{
		stateOpening,
		string(secondary.StateConnecting), string(secondary.StateCatchingUp), string(secondary.StateLive),
		string(secondary.StateSeeding),
		string(secondary.StateWaiting), string(secondary.StateRefused), string(secondary.StateFailed),
		string(primary.StateHandshake), string(primary.StateStalled), string(primary.StateDisconnected),
	}
	for _, name := range names {
		if !strings.Contains(string(operations), "`"+name+"`") {
			t.Errorf("docs/operations.md does not explain the state `%s`", name)
		}
	}
	for _, kind := range []string{
		cluster.ConflictIdentity, cluster.ConflictCopy, cluster.ConflictRole, cluster.ConflictEpoch,
		cluster.ConflictNode, cluster.ConflictStorage,
	} {
		if !strings.Contains(string(operations), "| `"+kind+"` |") {
			t.Errorf("docs/operations.md does not explain the conflict `%s`", kind)
		}
		if !strings.Contains(string(contract), "`"+kind+"`") {
			t.Errorf("docs/status-json.md does not know the conflict `%s`", kind)
		}
	}
	for _, name := range codeNames {
		if !strings.Contains(string(contract), "`"+name+"`") {
			t.Errorf("docs/status-json.md does not know the code `%s`", name)
		}
		if !strings.Contains(string(operations), "`"+name+"`") {
			t.Errorf("docs/operations.md does not explain the code `%s`", name)
		}
	}
}
