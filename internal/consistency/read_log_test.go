package consistency

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

const logText = `{"kind": "connect"}
{"kind": "snapshot", "tid": "0000000000000014", "read": {"0000000000000001":
 {"value": "a2", "serial": "0000000000000014"}}, "keys": 7}
{"kind": "commit", "tid": "000000000000001e", "wrote": {"0000000000000001": "a3", "0000000000000002": ""},
 "read": {"0000000000000001":
 {"serial": "0000000000000014"}}, "resolved": ["0000000000000002"],
 "adds": {"0000000000000002": 1}, "key": "k"}
`

func logFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLogsAreReadLineByLine(t *testing.T) {
	seven := 7
	want := []Op{
		{Kind: "connect", Client: "w", line: 1},
		{Kind: Snapshot, Client: "w", line: 2, Tid: 20, Read: map[zodb.Oid]Seen{1: {"a2", 20}}, Keys: &seven},
		{
			Kind: Commit, Client: "w", line: 3, Tid: 30, Wrote: map[zodb.Oid]string{1: "a3", 2: ""},
			Read: map[zodb.Oid]Seen{1: {Serial: 20}}, Resolved: []zodb.Oid{2}, Adds: map[zodb.Oid]int64{2: 1}, Key: "k",
		},
	}
	got, err := ReadLog("w", logFile(t, strings.ReplaceAll(logText, "\n ", " ")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Op{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestALogThatBreaksOffIsAnError(t *testing.T) {
	if _, err := ReadLog("w", logFile(t, logText[:40])); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}
