package config

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestTheCommandLineOfRunzeoWinsOverTheFile is what ZEO's ZEOOptions does: the file fills in what no option says.
func TestTheCommandLineOfRunzeoWinsOverTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "<zeo>\n address 1\n transaction-timeout 300\n read-only on\n</zeo>\n<filestorage main>\n path " +
		"main.fs\n blob-dir blobs\n</filestorage>\n"
	if err := os.WriteFile("zeo.conf", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line    CommandLine
		address string
		timeout time.Duration
		paths   string
		names   string
	}{
		{CommandLine{File: "zeo.conf"}, ":1", 300 * time.Second, "main.fs", "main"},
		{CommandLine{File: "zeo.conf", Address: "localhost:2"}, "localhost:2", 300 * time.Second, "main.fs", "main"},
		{CommandLine{File: "zeo.conf", Timeout: "1.5"}, ":1", 1500 * time.Millisecond, "main.fs", "main"},
		{CommandLine{File: "zeo.conf", Filenames: []string{"a.fs", "b.fs"}}, ":1", 300 * time.Second, "a.fs b.fs",
			"1 2"},
		{CommandLine{Address: "3", Filenames: []string{"a.fs"}}, ":3", 0, "a.fs", "1"},
	} {
		cfg, err := c.line.Load()
		if err != nil {
			t.Errorf("%+v: %v", c.line, err)
			continue
		}
		var paths, names []string
		for _, st := range cfg.Storages {
			paths, names = append(paths, st.Path.V), append(names, st.Name)
		}
		if got := cfg.ZEO.Address.V.String(); got != c.address || cfg.ZEO.TransactionTimeout.V != c.timeout ||
			strings.Join(paths, " ") != c.paths || strings.Join(names, " ") != c.names {
			t.Errorf(
				"%+v: address %s, timeout %v, paths %v, names %v",
				c.line,
				got,
				cfg.ZEO.TransactionTimeout.V,
				paths,
				names,
			)
		}
	}
}

func TestAMistakeOnTheCommandLineNamesTheOption(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		line CommandLine
		want string
	}{
		{CommandLine{Address: "host", Filenames: []string{"a"}}, `-a: address: "host" has no port`},
		{CommandLine{Address: "1", Filenames: []string{"no/a"}}, "-f: path: no/a: there is no folder no"},
		{CommandLine{Address: "1", Filenames: []string{"a"}, Timeout: "soon"}, "-t: transaction-timeout: "},
		{CommandLine{Address: "1", Filenames: []string{"a"}, PIDFile: "no/pid"}, "--pid-file: pid-filename: no/pid: "},
		{CommandLine{Address: "1", Filenames: []string{"a", "./a"}}, "-f: a is used twice"},
	} {
		if _, err := c.line.Load(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.line, err, c.want)
		}
	}
}
