package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const someID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"

var twoEpochs = []protocol.Epoch{{Number: 1}, {Number: 2, Begin: 0x03f8658005555555}}

func dataPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "Data.fs")
}

// sealed returns body with its last line.
func sealed(body string) []byte { return append([]byte(body), sumLine([]byte(body))...) }

const someNode = "9d3a6c1e-52f0-4b8e-8a77-3f1c20de9b64"

func TestTheFileIsTheOneDrawnInTheDocumentation(t *testing.T) {
	want, err := os.ReadFile("testdata/two-epochs.zrsd")
	if err != nil {
		t.Fatal(err)
	}
	s, err := decode("x", want)
	if err != nil {
		t.Fatal(err)
	}
	drawn := State{
		StorageID: someID, Node: someNode, Role: RolePrimary, Follow: []string{"db2:5000"}, MaxEpochSeen: 2,
		Epochs: []protocol.Epoch{
			{Number: 1},
			{Number: 2, Begin: twoEpochs[1].Begin, Node: someNode, By: "db1", At: "2026-11-23T10:00:00Z"},
		},
	}
	if diff := cmp.Diff(&drawn, s, cmpopts.IgnoreUnexported(State{})); diff != "" || s.inode != 4711 {
		t.Errorf("%s in file %d", diff, s.inode)
	}
	got, err := encode(s)
	if diff := cmp.Diff(string(want), string(got)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestAFileOfTheFirstFormatIsRead(t *testing.T) {
	s, err := decode("x", sealed(`{"format":1,"storage":"`+someID+`","epochs":[{"number":3,"begin":"00"}]}`))
	if err != nil || s.StorageID != someID || s.Epoch().Number != 3 || s.Node != "" || s.Copied {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAStateIsReadAsItWasWritten(t *testing.T) {
	path := dataPath(t)
	made, err := create(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]protocol.Epoch{{Number: 1, Node: made.Node}}, made.Epochs); diff != "" {
		t.Errorf("a new storage has its first epoch: %s", diff)
	}
	made.Epochs = append(made.Epochs, protocol.Epoch{Number: 7, Begin: 99})
	if err := made.Save(); err != nil {
		t.Fatal(err)
	}
	read, err := Load(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if read.StorageID != made.StorageID || !cmp.Equal(read.Epochs, made.Epochs) {
		t.Errorf("wrote %s %v, read %s %v", made.StorageID, made.Epochs, read.StorageID, read.Epochs)
	}
	if read.Path() != path+Suffix {
		t.Errorf("path %s", read.Path())
	}
}

func TestAnIdMadeForACopyIsMarkedUntilItIsTheOriginals(t *testing.T) {
	path := dataPath(t)
	s, err := createUnnamed(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		s.GeneratedID = want
		if err := s.Save(); err != nil {
			t.Fatal(err)
		}
		read, err := Load(vfs.OS{}, path)
		if err != nil || read.GeneratedID != want || read.StorageID != s.StorageID {
			t.Fatalf("read %+v, %v", read, err)
		}
		content, err := os.ReadFile(path + Suffix)
		if err != nil || strings.Contains(string(content), memberGeneratedID) != want {
			t.Errorf("%s, %v", content, err)
		}
		s = read
	}
}

func TestIdsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newID()
		if seen[id] || !uuid.MatchString(id) || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s is no new random UUID", id)
		}
		seen[id] = true
	}
}

func TestAStorageWithoutAStateIsTold(t *testing.T) {
	if _, err := Load(vfs.OS{}, dataPath(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAnIdentityIsNeverReplacedByAnother(t *testing.T) {
	path := dataPath(t)
	first, err := create(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := create(vfs.OS{}, path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating again: %v", err)
	}
	if _, err := adopt(vfs.OS{}, path, someID, twoEpochs); !errors.Is(err, fs.ErrExist) {
		t.Errorf("adopting: %v", err)
	}
	if now, err := Load(vfs.OS{}, path); err != nil || now.StorageID != first.StorageID {
		t.Errorf("the state is %v, %v", now, err)
	}
}

func TestMembersOfANewerVersionSurviveARewrite(t *testing.T) {
	path := dataPath(t)
	body := `{"format":1,"storage":"` + someID + `","epochs":[{"number":1,"begin":"00"}],` +
		`"hereafter":{"every":1000,"at":["a"]}}`
	if err := os.WriteFile(path+Suffix, sealed(body), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Load(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	s.Epochs = twoEpochs
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	again, err := Load(vfs.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Join(strings.Fields(string(again.extra["hereafter"])), "")
	if kept != `{"every":1000,"at":["a"]}` || !cmp.Equal(again.Epochs, twoEpochs) {
		t.Errorf("after the rewrite: %q %v", kept, again.Epochs)
	}
}

func TestANewerFormatIsNoDamage(t *testing.T) {
	_, err := decode("x.zrsd", sealed(`{"format":5,"storage":{"another":"form"}}`))
	var version *VersionError
	if !errors.As(err, &version) || version.format != 5 {
		t.Fatalf("got %v", err)
	}
}

func TestDamageIsFound(t *testing.T) {
	valid := func(storage, epochs string) string {
		return fmt.Sprintf(`{"format":1,"storage":%q,"epochs":%s}`, storage, epochs)
	}
	one := `[{"number":1,"begin":"00"}]`
	long := strings.Repeat("a", maxSaid+1)
	rule := func(member string) string {
		return fmt.Sprintf(`{"format":4,"storage":%q,"epochs":%s,%s}`, someID, one, member)
	}
	for name, content := range map[string][]byte{
		"empty file":           {},
		"only the sum":         sumLine(nil),
		"no sum":               []byte(valid(someID, one) + strings.Repeat(" ", 100)),
		"no newline at end":    sealed(valid(someID, one))[:len(valid(someID, one))+sumLen-1],
		"too large":            sealed(valid(someID, one) + strings.Repeat(" ", maxSize)),
		"no JSON":              sealed("storage = 1"),
		"no object":            sealed("[]"),
		"null":                 sealed("null"),
		"no format":            sealed(`{"storage":"` + someID + `","epochs":` + one + `}`),
		"format is a text":     sealed(`{"format":"1","storage":"` + someID + `","epochs":` + one + `}`),
		"no storage":           sealed(`{"format":1,"epochs":` + one + `}`),
		"storage is no UUID":   sealed(valid("../../etc/passwd", one)),
		"no epochs":            sealed(valid(someID, "null")),
		"empty epochs":         sealed(valid(someID, "[]")),
		"epoch 0":              sealed(valid(someID, `[{"number":0,"begin":"00"}]`)),
		"epoch below 0":        sealed(valid(someID, `[{"number":-1,"begin":"00"}]`)),
		"same epoch twice":     sealed(valid(someID, `[{"number":1,"begin":"00"},{"number":1,"begin":"01"}]`)),
		"epoch begins earlier": sealed(valid(someID, `[{"number":1,"begin":"02"},{"number":2,"begin":"01"}]`)),
		"node is no UUID":      sealed(rule(`"node":"x"`)),
		"unknown role":         sealed(rule(`"role":"king"`)),
		"address too long":     sealed(rule(`"follow":["` + strings.Repeat("a", maxAddress+1) + `"]`)),
		"too many addresses":   sealed(rule(`"follow":["a"` + strings.Repeat(`,"a"`, maxFollow) + `]`)),
		"handed to nobody":     sealed(rule(`"successor":"?"`)),
		"epoch seen below 0":   sealed(rule(`"max_epoch_seen":-1`)),
		"long tale of epoch":   sealed(valid(someID, `[{"number":1,"begin":"00","by":"`+long+`"}]`)),
		"begin is no tid":      sealed(valid(someID, `[{"number":1,"begin":"x"}]`)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode("x.zrsd", content)
			var damage *zodb.CorruptError
			if !errors.As(err, &damage) || damage.File != "x.zrsd" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Files of the formats before have other names for the same.
func TestFilesOfOlderFormatsAreRead(t *testing.T) {
	recorded, err := os.ReadFile("testdata/two-epochs-format-2.zrsd")
	if err != nil {
		t.Fatal(err)
	}
	s, err := decode("x", recorded)
	if err != nil {
		t.Fatal(err)
	}
	if s.inode != 4711 || s.MaxEpochSeen != 2 || s.Epoch().By != "db1" || len(s.extra) != 0 {
		t.Errorf("got %+v", s)
	}
	s, err = decode("x", sealed(`{"format":3,"storage":"`+someID+`","epochs":[{"number":1,"begin":"00"}],"begun":5,`+
		`"promised":6,"promised_to":"`+someNode+`","handed_to":"`+someNode+`","foreign":true,"unnamed_primary":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxEpochBegun != 5 || s.MaxEpochSeen != 6 || s.VotedFor != someNode || s.Successor != someNode ||
		!s.ExternalHistory || !s.GeneratedID || len(s.extra) != 0 {
		t.Errorf("got %+v", s)
	}
	again, err := encode(s)
	if err != nil {
		t.Fatal(err)
	}
	for now, before := range former {
		if strings.Contains(string(again), `"`+before+`"`) {
			t.Errorf("%s is still called %s in %s", now, before, again)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	good, err := encode(&State{StorageID: someID, Epochs: twoEpochs})
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good) * 8 {
		bad := append([]byte(nil), good...)
		bad[i/8] ^= 1 << (i % 8)
		var damage *zodb.CorruptError
		if _, err := decode("x", bad); !errors.As(err, &damage) {
			t.Fatalf("bit %d of byte %d flipped: %v", i%8, i/8, err)
		}
	}
}

func TestWhatBreaksTheRulesIsNotWritten(t *testing.T) {
	many := make([]protocol.Epoch, maxSize/40)
	for i := range many {
		many[i].Number = uint64(i + 1)
	}
	for name, s := range map[string]struct {
		id     string
		epochs []protocol.Epoch
	}{
		"id from a hostile peer": {"x\n", twoEpochs},
		"no epochs":              {someID, nil},
		"epochs fall":            {someID, []protocol.Epoch{{Number: 2}, {Number: 1}}},
		"too many epochs":        {someID, many},
	} {
		t.Run(name, func(t *testing.T) {
			path := dataPath(t)
			if _, err := adopt(vfs.OS{}, path, s.id, s.epochs); err == nil {
				t.Error("was written")
			}
			if _, err := Load(vfs.OS{}, path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("then loading says %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	good, err := encode(&State{StorageID: someID, Epochs: twoEpochs})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good[:len(good)-sumLen]))
	f.Add(`{"format":1,"storage":"` + someID + `","epochs":[{"number":1,"begin":"00"}],"more":[1,{"a":null}]}`)
	f.Add(`{"format":3}`)
	f.Add(`{"format":2,"storage":"` + someID + `","epochs":[{"number":1,"begin":"00"}],"role":"primary",` +
		`"follow":["a:1"]}`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, body string) {
		content := sealed(body)
		s, err := decode("x", content)
		var damage *zodb.CorruptError
		var version *VersionError
		switch {
		case errors.As(err, &damage), errors.As(err, &version):
			return
		case err != nil:
			t.Fatalf("neither damage nor a version: %v", err)
		}
		again, err := encode(s)
		if err != nil {
			if len(content) > maxSize/20 { // indentation made it too large
				return
			}
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := decode("x", again)
		if err != nil || back.StorageID != s.StorageID || !cmp.Equal(back.Epochs, s.Epochs) ||
			len(back.extra) != len(s.extra) {
			t.Fatalf("written again, it reads as %+v, %v", back, err)
		}
	})
}
