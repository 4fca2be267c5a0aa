package config

import "path/filepath"

// check looks at what fits together between sections, and names the storage without a name.
func (c *checker) check(cfg *Config) {
	c.checkNames(cfg.Storages)
	c.checkPaths(cfg.Storages)
	c.checkMoments(cfg)
	c.checkArchives(cfg)
	c.checkAddresses(cfg)
	for _, st := range cfg.Storages {
		for _, key := range []Value[bool]{st.PackGC, st.PackKeepOld} {
			if cfg.ZEO == nil && key.from.given() {
				c.note(key.from.pos, "about packing by clients: it has no effect without <zeo>")
			}
		}
	}
	c.checkReferencesBetween(cfg)
}

// checkReferencesBetween warns of packs that remove what only another storage refers to.
func (c *checker) checkReferencesBetween(cfg *Config) {
	if cfg.ZEO == nil || len(cfg.Storages) < 2 {
		return
	}
	for _, st := range cfg.Storages {
		if !st.PackGC.from.given() && !st.ReadOnly.V {
			c.note(st.Pos, "storage %s: a pack removes objects that only another storage refers to: if these storages "+
				"refer to each other's objects, write pack-gc false", st.Name)
		}
	}
}

// checkNames holds names apart. The one storage that may have none is called 1.
func (c *checker) checkNames(storages []*Storage) {
	var unnamed *Storage
	first := map[string]*Storage{}
	for _, st := range storages {
		if st.Name == "" {
			if unnamed != nil {
				c.fail(st.Pos, "a second storage without a name, after that in line %d: give it one", unnamed.Pos.Line)
				continue
			}
			unnamed, st.Name = st, "1"
		}
		if other, twice := first[st.Name]; twice {
			c.fail(st.Pos, "a second storage of the name %s (which one without a name has, too): the first is in "+
				"line %d: "+
				"give it another name", st.Name, other.Pos.Line)
			continue
		}
		first[st.Name] = st
	}
}

// checkPaths holds files and folders apart.
func (c *checker) checkPaths(storages []*Storage) {
	users := map[string]*Storage{}
	for _, st := range storages {
		for _, p := range []Value[string]{st.Path, st.BlobDir} {
			if p.V == "" {
				continue
			}
			abs, err := filepath.Abs(p.V)
			if err != nil {
				c.fail(p.from.pos, "%v", err)
				continue
			}
			if other, twice := users[abs]; twice {
				c.fail(p.from.pos, "%s is used twice: the storage %s has it already", p.V, other.Name)
				continue
			}
			users[abs] = st
		}
	}
}

// checkAddresses holds the places apart where this process listens.
func (c *checker) checkAddresses(cfg *Config) {
	users := map[string]string{}
	use := func(from Source, addr, what string) {
		if other, twice := users[addr]; twice {
			c.fail(from.pos, "%s: %s listens at %s already", what, other, addr)
		}
		users[addr] = what
	}
	if cfg.ZEO != nil && !cfg.ZEO.Address.V.IsZero() {
		use(cfg.ZEO.Address.from, cfg.ZEO.Address.V.String(), "<zeo>")
	}
	if cfg.Admin != nil && !cfg.Admin.Address.V.IsZero() {
		use(cfg.Admin.Address.from, cfg.Admin.Address.V.String(), "<admin>")
	}
	for _, st := range cfg.Storages {
		if z := st.Replication; z != nil && !z.ReplicateTo.V.IsZero() {
			use(z.ReplicateTo.from, z.ReplicateTo.V.String(), "replicate-to of storage "+st.Name)
		}
	}
}
