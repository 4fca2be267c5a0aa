package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/config"
)

func TestThePIDFileIsThereWhileTheServerRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zeo.pid")
	for _, c := range []struct{ readOnly, there bool }{{false, true}, {true, false}} {
		if err := os.WriteFile(path, []byte("stale"), 0o600); err != nil {
			t.Fatal(err)
		}
		z := &config.ZEO{PIDFile: config.Value[string]{V: path}, ReadOnly: config.Value[bool]{V: c.readOnly}}
		var during string
		err := withPIDFile(z, hclog.NewNullLogger(), func() error {
			b, err := os.ReadFile(path)
			during = strings.TrimSpace(string(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := during == strconv.Itoa(os.Getpid()); got != c.there {
			t.Errorf("read-only %v: the file has %q", c.readOnly, during)
		}
		if _, err := os.Stat(path); c.there == (err == nil) {
			t.Errorf("read-only %v: after the end: %v", c.readOnly, err)
		}
	}
}

func TestAServerRunsWithoutAPIDFileThatCannotBeWritten(t *testing.T) {
	ran := false
	z := &config.ZEO{PIDFile: config.Value[string]{V: filepath.Join(t.TempDir(), "missing", "zeo.pid")}}
	if err := withPIDFile(z, hclog.NewNullLogger(), func() error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("ran: %v, %v", ran, err)
	}
}
