package config

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/endpoint"
)

// The files in testdata are what the recipe plone.recipe.zeoserver 4.0.1 and its mkzeoinstance write, with different
// options, for a server at /srv/zeo; container.conf and zrs-documentation.conf say themselves what they are.
// See testdata/generate.py.

// loadReal loads files with the real ZConfig and the schema of the real ZEO, and with zc.zrs. The answer is null for
// one that it refuses.
const loadReal = `
import json, os, sys, ZConfig, ZEO
schema = ZConfig.loadSchema(os.path.join(os.path.dirname(ZEO.__file__), 'schema.xml'))
def address(a):
    if a is None or isinstance(a.address, str):
        return a and a.address
    return list(a.address)
def storage(opener, out):
    c = opener.config
    if hasattr(c, 'replicate_to'):
        out.update(to=address(c.replicate_to), frm=address(c.replicate_from), keep=c.keep_alive_delay)
    if hasattr(c, 'base'):
        if getattr(c, 'blob_dir', None):
            out['blobs'] = c.blob_dir
        return storage(c.base, out)
    out.update(path=c.path, gc=c.pack_gc, old=c.pack_keep_old)
    if c.blob_dir:
        out['blobs'] = c.blob_dir
    return out
def load(path):
    try:
        c, _ = ZConfig.loadConfig(schema, path)
    except ZConfig.ConfigurationError as e:
        print(path, e, file=sys.stderr)
        return None
    z = c.zeo
    log = c.eventlog
    return dict(
        address=address(z.address), read_only=z.read_only, queue=z.invalidation_queue_size,
        timeout=z.transaction_timeout, pid=z.pid_filename, resolve=z.client_conflict_resolution,
        storages=[dict(storage(s, {}), name=s.name or '1') for s in c.storages],
        log=log and dict(level=log.level, files=[
            dict(path=f.section.path, level=f.section.level, size=f.section.max_size, old=f.section.old_files,
                 format=f.section.format, date=f.section.dateformat) for f in log.handler_factories]))
json.dump([load(p) for p in sys.argv[1:]], sys.stdout)
`

// loaded returns a configuration in the form of loadReal.
func loaded(c *Config) map[string]any {
	out := map[string]any{
		"address": where(c.ZEO.Address.V), "read_only": c.ZEO.ReadOnly.V,
		"queue": float64(c.ZEO.InvalidationQueueSize.V), "timeout": nil, "pid": nil,
		"resolve": c.ZEO.clientConflictResolution.V, "log": nil,
	}
	if t := c.ZEO.TransactionTimeout; t.from.given() {
		out["timeout"] = t.V.Seconds()
	}
	if p := c.ZEO.PIDFile; p.from.given() {
		out["pid"] = p.V
	}
	storages := []any{}
	for _, st := range c.Storages {
		storages = append(storages, loadedStorage(st))
	}
	out["storages"] = storages
	if c.EventLog == nil {
		return out
	}
	files := []any{}
	for _, f := range c.EventLog.Files {
		files = append(files, map[string]any{
			"path": f.Path.V, "level": float64(f.Level.V), "size": float64(f.MaxSize.V), "old": float64(f.OldFiles.V),
			"format": strings.ReplaceAll(f.Format.V, `\n`, "\n"), "date": f.DateFormat.V,
		})
	}
	out["log"] = map[string]any{"level": float64(c.EventLog.Level.V), "files": files}
	return out
}

func loadedStorage(st *Storage) map[string]any {
	one := map[string]any{"name": st.Name, "path": st.Path.V, "gc": st.PackGC.V, "old": st.PackKeepOld.V}
	if st.BlobDir.V != "" {
		one["blobs"] = st.BlobDir.V
	}
	if z := st.Replication; z != nil {
		one["to"], one["frm"], one["keep"] = where(z.ReplicateTo.V), nil, z.KeepAliveDelay.V.Seconds()
		for _, from := range z.ReplicateFrom.V {
			one["frm"] = where(from)
		}
	}
	return one
}

// where returns an address as Python has it.
func where(e endpoint.Endpoint) any {
	switch {
	case e.IsZero():
		return nil
	case e.Network() == "unix":
		return e.String()
	}
	addr := e.String()
	var port float64
	if err := json.Unmarshal([]byte(addr[strings.LastIndexByte(addr, ':')+1:]), &port); err != nil {
		return err
	}
	return []any{e.Host(), port}
}

// settle makes the folders of a server, and its home the working directory.
func settle(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Chdir(home)
	for _, dir := range []string{"var/filestorage", "var/log", "parts/zeoserver", "log", "bin/python",
		"lib/zdaemon/zdrun.py"} {
		// Files are folders here, where only their existence is looked at.
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func TestFilesOfTheFieldMeanWhatTheRealServerReads(t *testing.T) {
	python, err := filepath.Abs("../../.venv/zrs/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal("the Python peers are not installed: run make venv")
		}
		t.Skip("the Python peers are not installed: run make venv")
	}
	for name, value := range containerDefaults {
		t.Setenv(name, value)
	}
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("only %d files: %v", len(files), err)
	}
	var texts []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	home := settle(t)
	args := []string{"-c", loadReal}
	for i, name := range files {
		files[i] = filepath.Join(home, filepath.Base(name))
		text := strings.ReplaceAll(texts[i], "/srv/zeo", home)
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, files[i])
	}
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []map[string]any
	if err := json.Unmarshal(out, &theirs); err != nil {
		t.Fatal(err)
	}
	for i, path := range files {
		cfg, err := Load(path)
		switch {
		case theirs[i] == nil && err == nil:
			t.Errorf("%s: the real server refuses it, we do not", path)
		case theirs[i] != nil && err != nil:
			t.Errorf("%s: the real server reads it, we do not: %v", path, err)
		case err == nil:
			if diff := cmp.Diff(theirs[i], loaded(cfg)); diff != "" {
				t.Errorf("%s: the real server (-) and we (+) differ:\n%s", path, diff)
			}
		}
	}
}

// Names are made of these paths by suffixes, so that they are cleaned where they come in; config show keeps what stands
// in the file.
func TestPathsOfAStorageHaveOneSpelling(t *testing.T) {
	cfg, err := load(t, "<zeo>\n address 8100\n</zeo>\n<filestorage 1>\n path .//./Data.fs\n blob-dir .//blobs/\n"+
		"</filestorage>\n<blobstorage 2>\n blob-dir ./x/../more/\n <filestorage>\n  path ./Other.fs\n </filestorage>\n"+
		"</blobstorage>\n")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]string{{"Data.fs", "blobs"}, {"Other.fs", "more"}} {
		if st := cfg.Storages[i]; st.Path.V != want[0] || st.BlobDir.V != want[1] {
			t.Errorf("%s: %q and %q", st.Name, st.Path.V, st.BlobDir.V)
		}
	}
}
