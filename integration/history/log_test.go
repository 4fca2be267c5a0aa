package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

const logText = `{"kind": "connect"}
{"kind": "snapshot", "at": "0000000000000014", "values": {"0000000000000001":
 {"value": "a2", "serial": "0000000000000014"}}, "keys": 7}
{"kind": "commit", "tid": "000000000000001e", "writes": {"0000000000000001": "a3", "0000000000000002": ""},
 "reads": {"0000000000000001": "0000000000000014"}, "resolved": ["0000000000000002"],
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
	want := &Log{Client: "w", Lines: []Line{
		{Kind: Connect},
		{Kind: Snapshot, At: 20, Values: map[zodb.Oid]Read{1: {"a2", 20}}, Keys: &seven},
		{
			Kind: Commit, Tid: 30, Writes: map[zodb.Oid]string{1: "a3", 2: ""}, Reads: map[zodb.Oid]zodb.Tid{1: 20},
			Resolved: []zodb.Oid{2}, Adds: map[zodb.Oid]int64{2: 1}, Key: "k",
		},
	}}
	got, err := ReadLog("w", logFile(t, strings.ReplaceAll(logText, "\n ", " ")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := got.Count(Commit); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
}

func TestALogThatBreaksOffIsAnError(t *testing.T) {
	if _, err := ReadLog("w", logFile(t, logText[:40])); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}
