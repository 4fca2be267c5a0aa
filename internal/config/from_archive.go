package config

import (
	"path/filepath"

	"github.com/zrsd/zrsd/internal/zconfig"
)

var fromArchiveTable = &table{
	typ:   "from-archive",
	named: true,
	doc: "An archive that <as-of> sections name as their storage: clients read moments of it, and nothing of the " +
		"storage is here: see docs/reports.md. Its name is for these sections; clients do not get it. Ours.",
	keys: []entry{
		{name: "archive", kind: "string", required: true, ours: true,
			doc: "Its URL: a folder (`/backup/app`), `s3://bucket/folder`, `gs://…` or `azblob://…`."},
		{name: "cache", kind: "path", required: true, ours: true,
			doc: "The folder for what is kept of it, for all moments together: of this section only. It is made, if " +
				"the one above it is there."},
		{name: "cache-size", kind: "byte-size", preset: "10GB", ours: true,
			doc: "How much of data files is kept in it, 256 MB at least; what was used longest ago goes first."},
		{name: "blob-cache-size", kind: "byte-size", preset: "10GB", ours: true,
			doc: "Likewise, of blobs."},
		{name: "identity", kind: "path", ours: true,
			doc: "The file with age identities, of an archive that is encrypted. The cache is not encrypted."},
		{name: "rate", kind: "byte-size", preset: "0", ours: true,
			doc: "The limit of what is read from the archive, per second; 0 for none."},
	},
}

// minViewCache is that of package archive.
const minViewCache = 256 << 20

func (c *checker) fromArchive(s *zconfig.Section) *FromArchive {
	r := c.read(s, fromArchiveTable, "")
	if s.Name == "" {
		r.fail(s.Pos, "<from-archive> needs a name for <as-of>: write <from-archive old>")
	}
	a := &FromArchive{
		Name: s.Name, pos: s.Pos, URL: get(r, "archive", text), Cache: get(r, "cache", path),
		Size: get(r, "cache-size", size), BlobSize: get(r, "blob-cache-size", size),
		Identity: get(r, "identity", path), Rate: get(r, "rate", size),
	}
	if a.Size.V < minViewCache {
		r.fail(a.Size.from.pos, "cache-size: give at least 256MB: so much is in use at a time")
	}
	if a.BlobSize.V <= 0 {
		r.fail(a.BlobSize.from.pos, "blob-cache-size: give a number of bytes, such as 10GB")
	}
	return a
}

// checkArchives holds names and caches of archives that are read apart from everything else.
func (c *checker) checkArchives(cfg *Config) {
	names, folders := map[string]bool{}, map[string]string{}
	for _, st := range cfg.Storages {
		names[st.Name] = true
		for _, p := range []string{st.Path.V, st.BlobDir.V} {
			if abs, err := filepath.Abs(p); p != "" && err == nil {
				folders[abs] = "storage " + st.Name
			}
		}
	}
	for _, a := range cfg.Archives {
		if names[a.Name] {
			c.fail(a.pos, "a second storage of the name %s: give this one another name", a.Name)
		}
		names[a.Name] = true
		if abs, err := filepath.Abs(a.Cache.V); a.Cache.V != "" && err == nil {
			for _, at := range []string{abs, filepath.Join(abs, "Data.fs")} {
				if other := folders[at]; other != "" {
					c.fail(a.Cache.from.pos, "cache: %s is of %s already: give this one a folder of its own", a.Cache.V,
						other)
					break
				}
			}
			folders[abs] = "<from-archive " + a.Name + ">"
		}
		if len(cfg.Moments(a.Name)) == 0 && len(cfg.Moments("")) == 0 && a.Name != "" {
			c.fail(a.pos, "<from-archive %s>: no <as-of> names it: write one with storage %[1]s, or leave it out",
				a.Name)
		}
	}
}

// Path is where the first storage is, beside which things are that belong to the process: that of an archive is in its
// cache.
func (c *Config) Path() string {
	if len(c.Storages) == 0 {
		return c.Archives[0].Data()
	}
	return c.Storages[0].Path.V
}

// Data is the path at which the data file of an archive is seen.
func (a *FromArchive) Data() string { return filepath.Join(a.Cache.V, "Data.fs") }
