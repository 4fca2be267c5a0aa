package verify

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/check"
)

// jsonNames collects the names of all fields of our own structs below typ.
func jsonNames(typ reflect.Type, names map[string]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		jsonNames(typ.Elem(), names)
	case reflect.Struct:
		if !strings.HasPrefix(typ.PkgPath(), "github.com/zrsd/zrsd/") {
			return
		}
		for f := range typ.Fields() {
			if tag := strings.Split(f.Tag.Get("json"), ",")[0]; tag != "" && tag != "-" {
				names[tag] = true
			}
			jsonNames(f.Type, names)
		}
	default:
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryFieldOfAPassIsDocumented(t *testing.T) {
	doc := read(t, "../../docs/commands-json.md")
	names := map[string]bool{}
	jsonNames(reflect.TypeFor[Pass](), names)
	if len(names) < 30 {
		t.Fatalf("only %d fields", len(names))
	}
	for name := range names {
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("docs/commands-json.md does not explain `%s`", name)
		}
	}
}

func TestEveryFieldOfAStatusIsDocumented(t *testing.T) {
	doc := read(t, "../../docs/status-json.md") + read(t, "../../docs/commands-json.md")
	names := map[string]bool{}
	jsonNames(reflect.TypeFor[Status](), names)
	for name := range names {
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("neither docs/status-json.md nor docs/commands-json.md explains `%s`", name)
		}
	}
}

func TestEveryKindOfFindingIsDocumented(t *testing.T) {
	doc := read(t, "../../docs/replication.md")
	for _, kind := range []check.Kind{KindChain, KindBlock, KindReference, KindPickle, KindState, KindOwnFile,
		KindBlobSize, KindBlobDigest, KindBlobPeer, KindPeer, KindUnreadable, check.KindBlobFolder} {
		if !strings.Contains(doc, "`"+string(kind)+"`") {
			t.Errorf("docs/replication.md does not explain the kind `%s`", kind)
		}
	}
}
