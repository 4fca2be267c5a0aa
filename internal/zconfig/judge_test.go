package zconfig

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// interpreter returns the Python that has the real ZConfig. Without one the test is skipped, or fails where it is
// required.
func interpreter(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.venv/zrs/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal("the Python peers are not installed: run make venv")
		}
		t.Skip("the Python peers are not installed: run make venv")
	}
	return path
}

func reader(b []byte) io.Reader { return bytes.NewReader(b) }

// A reading is what somebody makes of a file.
type reading struct {
	Failed   bool     `json:"failed"`
	Imports  []string `json:"imports"`
	Sections []any    `json:"tree"`
}

// judgeTrees reads files with ZConfig's own parser and a schema that allows everything.
const judgeTrees = `
import json, sys, ZConfig, ZConfig.cfgparser, ZConfig.loader, ZConfig.datatypes
key = ZConfig.datatypes.BasicKeyConversion()
class Section:
    def __init__(self):
        self.items = [[], []]
    def addValue(self, k, v, where):
        try:
            self.items[0].append([key(k), v])
        except ValueError as e:
            raise ZConfig.ConfigurationError(str(e))
class Loader(ZConfig.loader.ConfigLoader):
    def __init__(self):
        ZConfig.loader.BaseLoader.__init__(self)
        self.imports = []
    def startSection(self, parent, type_, name):
        s = Section()
        parent.items[1].append([type_, name or '', s.items])
        return s
    def endSection(self, *args):
        pass
    def importSchemaComponent(self, name):
        self.imports.append(name)
def read(path):
    loader, top = Loader(), Section()
    try:
        with loader.openResource(loader.normalizeURL(path)) as r:
            loader._parse_resource(top, r)
    except (ZConfig.ConfigurationError, RecursionError):
        return {'failed': True, 'imports': None, 'tree': None}
    return {'failed': False, 'imports': loader.imports, 'tree': top.items}
json.dump([read(p) for p in json.load(sys.stdin)], sys.stdout)
`

func items(s *Section) []any {
	keys, sections := []any{}, []any{}
	for _, k := range s.Keys {
		keys = append(keys, []any{k.Name, k.Value})
	}
	for _, sub := range s.Sections {
		sections = append(sections, []any{sub.Type, sub.Name, items(sub)})
	}
	return []any{keys, sections}
}

func read(path string) reading {
	tree, err := Load(path, Options{})
	if err != nil {
		return reading{Failed: true}
	}
	imports := []string{}
	for _, i := range tree.Imports {
		imports = append(imports, i.Package)
	}
	return reading{Imports: imports, Sections: items(tree.Root)}
}

func compareReadings(t *testing.T, paths []string) (good int) {
	t.Helper()
	var theirs []reading
	judge(t, judgeTrees, paths, &theirs)
	for i, path := range paths {
		if !theirs[i].Failed {
			good++
		}
		if diff := cmp.Diff(theirs[i], read(path)); diff != "" {
			text, _ := os.ReadFile(path)
			_, err := Load(path, Options{})
			t.Errorf("ZConfig (-) and we (+) differ over\n%q\n%s\nwe say %v", text, diff, err)
		}
	}
	return good
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fragments are what random files are made of.
var fragments = []string{
	"<zeo>", "</zeo>", "<ZEO>", "<zeo/>", "<zeo a/>", "<zeo A b>", "<zeo  a  >", "< zeo>", "<>", "</>", "<", "</ zeo>",
	"</zeo >", "<zeo(1)>", "<zeo a(1)>", "<a/b c/d>", "</a/b>", "<zeo", "zeo>", "key value", "Key", "KEY  v a l ",
	"key(v", "key)", "(key", "1key v", "k-e.y_1 v", "#comment", "  # comment", "key v # no comment", "%define a 1",
	"%define A 1", "%define a 2", "%define b $a", "%define b 1", "%define b $$", "%define c", "%define d x  y",
	"%define 1 x",
	"%define a-b x", "%define e $f", "%DEFINE a 1", "% define a 1", "%define", "%", "%import zc.zrs", "%import $a",
	"%include part.conf", "%include ./part.conf", "%include sub/../part%2Econf", "%include open.conf",
	"%include closing.conf", "%include nowhere", "key $a", "key ${a}b", "key $ab", "key $$a", "key $$$a", "key ${b",
	"key $", "key ${}", "key $(HOME)", "key $(ZRSD_NOT_SET)", "key $(HOME", "key $(HOME:x)", "key $1", "key a$b$c$d",
	"key\tv\t", "key\u00a0v", "\u2003key v", "key\x1cv", "key v\r", "kéy v", "key é", "", " ", "\x0c",
	"k\x00 v", "k \x00",
}

func TestFilesMeanWhatZConfigReads(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "part.conf"), "inside $a\n%define f part\n<sub/>")
	write(t, filepath.Join(dir, "open.conf"), "%define a 1\n<zeo>\n")
	write(t, filepath.Join(dir, "closing.conf"), "</zeo>\n")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	var paths []string
	add := func(text string) {
		paths = append(paths, write(t, filepath.Join(dir, fmt.Sprintf("%d.conf", len(paths))), text))
	}
	for _, f := range fragments {
		add(f)
		add("%define a one\n" + f + "\nafter $a")
		add("<zeo>\n" + f + "\n</zeo>\n")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		lines := make([]string, 1+random.IntN(6))
		for i := range lines {
			lines[i] = fragments[random.IntN(len(fragments))]
		}
		add(strings.Join(lines, "\n"))
	}
	if good := compareReadings(t, paths); good < len(paths)/10 {
		t.Errorf("only %d of %d files are right: this compares too little", good, len(paths))
	}
}
