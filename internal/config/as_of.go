package config

import (
	"time"

	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/zconfig"
)

var asOfTable = &table{
	typ:   "as-of",
	named: true,
	doc: "A storage of its own for ZEO clients, read-only, that is another storage as of a moment: see " +
		"docs/reports.md. Its name is what clients ask for. Nothing is copied. Ours.",
	keys: []entry{
		{name: "storage", kind: "string", ours: true,
			doc: "The name of the storage, or of `<from-archive>`; where there is only one, that one."},
		{name: "at", kind: "moment", required: true, ours: true,
			doc: "The moment: a tid, a time (`2026-01-31 14:05`, of this machine's zone), or one that moves on: " +
				"`yesterday` (the beginning of today), `each day at 06:30`, `each hour`, `4h ago`."},
	},
}

var momentKind = kind[moment.Spec]{"moment", func(s string) (moment.Spec, error) { return moment.Parse(s, time.Local) }}

func (c *checker) asOf(s *zconfig.Section) *AsOf {
	r := c.read(s, asOfTable, "")
	if s.Name == "" {
		r.fail(s.Pos, "<as-of> needs a name for its clients: write <as-of yesterday>")
	}
	return &AsOf{Name: s.Name, pos: s.Pos, Storage: get(r, "storage", text), At: get(r, "at", momentKind)}
}

// checkMoments finds the storage of each moment, and holds their names apart.
func (c *checker) checkMoments(cfg *Config) {
	storages := map[string]bool{}
	var only string
	for _, st := range cfg.Storages {
		storages[st.Name], only = true, st.Name
	}
	for _, a := range cfg.Archives {
		storages[a.Name], only = true, a.Name
	}
	names := map[string]bool{}
	for _, m := range cfg.AsOf {
		switch {
		case cfg.ZEO == nil:
			c.fail(m.pos, "<as-of %s>: nobody can use it, as there is no <zeo> for clients", m.Name)
		case storages[m.Name] || names[m.Name]:
			c.fail(m.pos, "a second storage of the name %s: give it another name", m.Name)
		case m.Storage.V == "" && len(storages) > 1:
			c.fail(m.pos, "<as-of %s>: there are several storages: say which one with the key storage", m.Name)
		case m.Storage.V == "":
			m.Storage.V = only
		case !storages[m.Storage.V]:
			c.fail(m.Storage.from.pos, "storage: there is no storage %s in this file", m.Storage.V)
		}
		names[m.Name] = true
	}
}

// Moments returns those of a storage.
func (c *Config) Moments(storage string) (list []*AsOf) {
	for _, m := range c.AsOf {
		if m.Storage.V == storage {
			list = append(list, m)
		}
	}
	return list
}
