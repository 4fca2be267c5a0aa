package inside

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the expected answers anew")

const (
	siteFile    = "testdata/site.fs" // made by testdata/site.py
	catalogFile = "testdata/catalog.fs"
)

// ask asks about the site, and compares the answer with what is written down.
func ask(t *testing.T, golden string, q Question) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	answer, err := Answer(t.Context(), siteFile, q, Options{Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", golden)
	if *update {
		if err := os.WriteFile(name, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(got)); diff != "" {
		t.Errorf("%s: -want +got (run with -update and read the difference):\n%s", golden, diff)
	}
}

// References that believe in another class than the record says are told with who, from where and since when.
func TestClassesOfASite(t *testing.T) { ask(t, "classes.json", Question{Ask: AskClasses}) }

func TestReferencesOfASite(t *testing.T) {
	ask(t, "refs.json", Question{Ask: AskRefs, Others: map[string]string{"catalog": catalogFile}})
}

func TestFindObjects(t *testing.T) {
	ask(t, "oid.json", Question{Ask: AskOid, Oid: 7})
	ask(t, "class.json", Question{Ask: AskText, Text: "new.site.Page"})
	ask(t, "text.json", Question{Ask: AskText, Text: "Document 2"})
	ask(t, "usage.json", Question{Ask: AskUsage, Depth: 2})
	ask(t, "graph.json", Question{Ask: AskGraph, Oid: 1, Depth: 1})
}

func openSite(t *testing.T, path string) *filestorage.Storage {
	t.Helper()
	st, err := filestorage.Open(t.Context(), path, filestorage.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func survey(t *testing.T, path string) *Survey {
	t.Helper()
	s, err := Take(t.Context(), openSite(t, path), Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An object shows as what it was after a transaction.
func classIn(t *testing.T, d *Detail) string {
	t.Helper()
	var object struct{ Class string }
	if err := json.Unmarshal(d.Object, &object); err != nil {
		t.Fatal(err)
	}
	return object.Class
}

func TestStateAsOfATransaction(t *testing.T) {
	s := survey(t, siteFile)
	now, err := s.FindOid(7, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	history := now.Objects[0].Detail.History
	if len(history) != 2 || classIn(t, now.Objects[0].Detail) != "new.site.Page" {
		t.Fatalf("%+v", now.Objects[0])
	}
	if head := now.Objects[0].Bytes; head != history[0].Bytes {
		t.Errorf("the record has %d bytes, and in the history %d", head, history[0].Bytes)
	}
	before, err := s.FindOid(7, history[0].Tid-1, 10)
	if err != nil {
		t.Fatal(err)
	}
	if d := before.Objects[0].Detail; d.At != history[1].Tid || classIn(t, d) != "old.site.Document" {
		t.Errorf("as of a moment before: %+v", d)
	}
	if d := mustFind(t, s, 7, 1); d.Why == "" || d.Object != nil {
		t.Errorf("as of before all time: %+v", d)
	}
	if f, err := s.FindOid(0x123456, 0, 10); err != nil || len(f.Objects) != 0 || f.All != 0 {
		t.Errorf("of an object that is not there: %+v, %v", f, err)
	}
}

func mustFind(t *testing.T, s *Survey, oid zodb.Oid, at zodb.Tid) *Detail {
	t.Helper()
	f, err := s.FindOid(oid, at, 10)
	if err != nil {
		t.Fatal(err)
	}
	return f.Objects[0].Detail
}

func TestFindTransaction(t *testing.T) {
	s := survey(t, siteFile)
	f, err := s.FindTid(t.Context(), s.st.LastTid(), 10)
	if err != nil || f.All != 1 || f.Objects[0].Oid != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	for _, tid := range []zodb.Tid{0, 5, zodb.MaxTid} {
		if f, err := s.FindTid(t.Context(), tid, 10); err != nil || len(f.Objects) != 0 {
			t.Errorf("of a transaction that is not there: %+v, %v", f, err)
		}
	}
}

// Each object that can be reached counts once.
func TestUsageOfTheRootIsAllThatIsReached(t *testing.T) {
	s := survey(t, siteFile)
	u, err := s.Usage(0, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Refs(100)
	if want := s.findings.bytes - r.Unreachable.Bytes; u.Bytes != want {
		t.Errorf("%d bytes, want %d", u.Bytes, want)
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	for _, q := range []Question{{Ask: "x", Limit: 1}, {Ask: AskClasses}, {Ask: AskUsage, Limit: 1, Depth: -1}} {
		if _, err := Answer(t.Context(), siteFile, q, Options{}); err == nil {
			t.Errorf("%+v was answered", q)
		}
	}
}
