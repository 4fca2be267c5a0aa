package admin_test

import (
	"flag"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
)

var update = flag.Bool("update", false, "rewrite the golden documents")

func golden(t *testing.T, name string, st admin.Status) {
	t.Helper()
	_, url := serve(t, st)
	code, _, body := get(t, url+"/status")
	if code != http.StatusOK {
		t.Fatalf("got %d: %s", code, body)
	}
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), body); diff != "" {
		t.Errorf("the status document changed; it is a contract (docs/status-json.md):\n%s", diff)
	}
}

func TestTheStatusDocumentIsTheDocumentedOne(t *testing.T) {
	golden(t, "full.json", full(t))
}

func TestWhatIsNotKnownIsNullAndListsAreNeverNull(t *testing.T) {
	golden(t, "unknown.json", admin.Status{
		Role: "primary", Storage: admin.Storage{Path: "Data.fs"}, Secondaries: nil,
		Started: time.Unix(0, 0).UTC(), Now: time.Unix(0, 0).UTC(),
	})
}

func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/status-json.md")
	if err != nil {
		t.Fatal(err)
	}
	names := jsonNames(reflect.TypeFor[admin.Status](), map[string]bool{})
	for name := range jsonNames(reflect.TypeFor[admin.Cluster](), names) {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/status-json.md does not explain `%s`", name)
		}
	}
}

// jsonNames collects the names of all fields of our own structs below typ.
func jsonNames(typ reflect.Type, names map[string]bool) map[string]bool {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		jsonNames(typ.Elem(), names)
	case reflect.Struct:
		if typ.PkgPath() != reflect.TypeFor[admin.Status]().PkgPath() {
			return names
		}
		for f := range typ.Fields() {
			if tag := f.Tag.Get("json"); tag != "-" && !f.Anonymous {
				names[strings.Split(tag, ",")[0]] = true
			}
			jsonNames(f.Type, names)
		}
	}
	return names
}
