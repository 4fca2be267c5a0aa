package integration

import (
	"encoding/json"
	"reflect"
	"testing"
)

// A server with <zlibstorage> compresses for clients without it, as runzeo does: both kinds of clients get the same
// from both servers, and both files have the same records compressed.
func TestAServerWithZlibstorageIsAsRunzeo(t *testing.T) {
	saw := map[string]map[string]any{}
	for name, command := range map[string][]string{
		"runzeo": {runzeo(t), "-C"},
		"zrsd":   {zrsd, "serve", "-C"},
	} {
		s := newSite(t, true)
		addr := startServer(t, s.dir, "%import zc.zlibstorage\n<zlibstorage 1>\n  <filestorage>\n    path "+s.data+
			"\n    blob-dir "+s.blobs+"\n  </filestorage>\n</zlibstorage>", command[0], command[1:]...)
		var answer map[string]any
		ask(t, &answer, "zlib_clients.py", addr, s.data, s.dir)
		saw[name] = answer
	}
	for part, want := range saw["runzeo"] {
		if got := saw["zrsd"][part]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %s\nwant %s", part, asJSON(t, got), asJSON(t, want))
		}
	}
	if len(saw["zrsd"]) != len(saw["runzeo"]) || len(saw["runzeo"]) < 6 {
		t.Errorf("%d and %d answers", len(saw["zrsd"]), len(saw["runzeo"]))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
