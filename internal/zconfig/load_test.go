package zconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files are what a test reads instead of a disk.
type files map[string]string

func (f files) options() Options {
	return Options{
		open: func(path string) (io.ReadCloser, error) {
			text, found := f[path]
			if !found {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
		getenv: func(name string) (string, bool) { return "value of " + name, strings.HasPrefix(name, "ZEO") },
	}
}

// flat writes a tree in one line per key and section.
func flat(s *Section, indent string) (out string) {
	for _, k := range s.Keys {
		out += fmt.Sprintf("%s%s=%q %v %v\n", indent, k.Name, k.Value, k.Pos, k.At)
	}
	for _, sub := range s.Sections {
		out += fmt.Sprintf("%s<%s %q> %v\n", indent, sub.Type, sub.Name, sub.Pos) + flat(sub, indent+"  ")
	}
	return out
}

func TestATreeKnowsWhereEverythingIs(t *testing.T) {
	disk := files{
		"etc/zeo.conf": "%import zc.zrs\n%define Inst /srv\n\n<ZEO>\n  Address  127.0.0.1: 8100 \r\n\tempty\n" +
			"  %include more/part.conf\n</zeo >\n<filestorage Main/>\n#path x\nglobal é $$ ${later}",
		"etc/more/part.conf": "pid $INST/pid\n%define later here\nenv $(ZEO_X)!\n",
	}
	tree, err := Load("etc/zeo.conf", disk.options())
	if err != nil {
		t.Fatal(err)
	}
	want := `global="é $ here" etc/zeo.conf:11:1 etc/zeo.conf:11:8
<zeo ""> etc/zeo.conf:4:1
  address="127.0.0.1: 8100" etc/zeo.conf:5:3 etc/zeo.conf:5:12
  empty="" etc/zeo.conf:6:2 etc/zeo.conf:6:7
  pid="/srv/pid" etc/more/part.conf:1:1 etc/more/part.conf:1:5
  env="value of ZEO_X!" etc/more/part.conf:3:1 etc/more/part.conf:3:5
<filestorage "main"> etc/zeo.conf:9:1
`
	if diff := cmp.Diff(want, flat(tree.Root, "")); diff != "" {
		t.Error(diff)
	}
	imports := []Import{{"zc.zrs", Pos{"etc/zeo.conf", 1, 9}}}
	if diff := cmp.Diff(imports, tree.Imports); diff != "" {
		t.Error(diff)
	}
}

func TestEveryErrorOfAFileIsReportedAtItsPlace(t *testing.T) {
	disk := files{
		"zeo.conf": "<zeo\n%Define x y\n%define\n%define a 1\n%define A 2\n%define ä 1\n key $\n key $undefined\n" +
			" key ${a\n key $(HOME)\n ?key\n</zeo>\n<a b c>\n<x>\n<y>\n</x>\n%include missing" +
			"\n%include http://x/y\n<z>\n",
	}
	_, err := Load("zeo.conf", disk.options())
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`zeo.conf:1:1: a line that begins with < must end with >`,
		`zeo.conf:2:1: %Define is unknown`,
		`zeo.conf:3:1: %define needs something after it`,
		`zeo.conf:5:9: a is defined already, as "1"`,
		`zeo.conf:6:9: "ä" cannot be defined`,
		`zeo.conf:7:6: a $ at the end`,
		`zeo.conf:8:6: undefined is not defined`,
		`zeo.conf:9:6: ${ must be followed by a name and }`,
		`zeo.conf:10:6: the environment has no HOME`,
		`zeo.conf:11:2: "?key" is not a key`,
		`zeo.conf:12:1: </zeo> without a section`,
		`zeo.conf:13:1: a section begins with`,
		`zeo.conf:16:1: </x> where </y> is needed: the section that began in line 15`,
		`zeo.conf:17:10: reading the configuration: open missing: file does not exist`,
		`zeo.conf:18:10: "http://x/y" cannot be included`,
		`zeo.conf:19:1: <z> is never closed`,
	}
	for i, e := range all {
		if i >= len(want) || !strings.HasPrefix(e.Error(), want[i]) {
			t.Errorf("error %d is %q", i, e)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d errors, want %d", len(all), len(want))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause of an error is lost")
	}
}

func TestWhatAFileMayCostIsBounded(t *testing.T) {
	double := "%define a0 0123456789\n"
	for i := range 40 {
		double += fmt.Sprintf("%%define a%d $a%d$a%d\n", i+1, i, i)
	}
	many := files{"zeo.conf": "%include 1\n"}
	for i := range 400 {
		many[fmt.Sprint(i)] = fmt.Sprintf("%%include %d", i+1)
	}
	for _, c := range []struct {
		name string
		disk files
		want string
	}{
		{"a file that includes itself", files{"zeo.conf": "%include zeo.conf"}, "includes itself"},
		{"a long chain of files", many, "more than 16 files that include each other"},
		{"many files", files{"zeo.conf": strings.Repeat("%include a\n", 300), "a": ""}, "more than 256 files"},
		{"a large file", files{"zeo.conf": strings.Repeat("\n", maxFile+1)}, "more than 1048576 bytes"},
		{"a long line", files{"zeo.conf": "a " + strings.Repeat("x", maxLine)}, "a line of more than 65536 bytes"},
		{"definitions that double", files{"zeo.conf": double}, "the value has more than 65536 bytes"},
		{"many definitions that are long", files{"zeo.conf": "%define a " + strings.Repeat("x", maxLine-100) + "\n" +
			strings.Repeat("k $a\n", 300)}, "all values together have more than 16777216 bytes"},
		{"deep sections", files{"zeo.conf": strings.Repeat("<a>\n", 40)}, "more than 32 sections"},
		{"many keys", files{"zeo.conf": "%include a\n%include a", "a": strings.Repeat("k v\n", 60_000)},
			"more than 100000 keys and sections"},
		{"many errors", files{"zeo.conf": strings.Repeat("?\n", 1000)}, "too many errors"},
		{"a file that is no text", files{"zeo.conf": "a\nb\xff"}, "is not UTF-8 text: line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load("zeo.conf", c.disk.options())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.200v, want %q", err, c.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("<zeo>\n address 1\n</zeo>\n<filestorage 1>\n path $(ZEO_D)/Data.fs\n</filestorage>\n", "a b")
	f.Add("%define a b\n%include other\nk ${a}$$(", "<x y/>\n%define c $a")
	f.Add("%include zeo.conf\n</", "k\x1cv\u0085\n<a (b)>")
	f.Fuzz(func(t *testing.T, main, other string) {
		tree, err := Load("zeo.conf", files{"zeo.conf": main, "other": other}.options())
		if tree == nil || tree.Root == nil {
			t.Fatal("no tree")
		}
		var all Errors
		if err != nil && (!errors.As(err, &all) || len(all) == 0) {
			t.Fatalf("an error that is not Errors: %v", err)
		}
		for _, e := range all {
			if e.Text == "" || e.Pos.Line > 1+strings.Count(main+other, "\n") {
				t.Errorf("error without text, or nowhere: %+v", e)
			}
		}
	})
}
