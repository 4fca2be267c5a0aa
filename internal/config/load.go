package config

import (
	"errors"
	"os"
	"slices"
	"sort"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// Load reads a configuration file. The error is of type zconfig.Errors and has everything that is wrong; a Config comes
// with it only when nothing is.
func Load(path string) (*Config, error) { return CommandLine{File: path}.Load() }

// Load reads the file, if there is one, and puts what the command line says in the place of what the file says. The
// error is that of the function Load.
func (l CommandLine) Load() (*Config, error) {
	tree := &zconfig.Tree{Root: &zconfig.Section{}}
	var syntax zconfig.Errors
	if l.File != "" {
		var err error
		tree, err = zconfig.Load(l.File, zconfig.Options{})
		errors.As(err, &syntax)
	}
	l.replace(tree.Root)
	c := &checker{errs: syntax, broken: len(syntax) > 0}
	for _, i := range tree.Imports {
		if !slices.Contains(knownPackages, i.Package) {
			c.fail(i.Pos, "%%import %s: its sections are not known here; known packages are %v", i.Package,
				knownPackages)
		}
	}
	cfg := c.file(tree.Root)
	cfg.Files = tree.Files
	if !c.broken {
		c.check(cfg)
	}
	if len(c.errs) > 0 {
		sortByPlace(c.errs, tree.Files)
		return nil, c.errs
	}
	cfg.Notes, cfg.Settings = c.notes, c.settings
	return cfg, nil
}

// file reads what is outside of sections.
func (c *checker) file(root *zconfig.Section) *Config {
	cfg := &Config{}
	r := c.read(root, fileTable, "")
	if s := r.one("zeo"); s != nil {
		cfg.ZEO = c.zeo(s)
	}
	for _, s := range root.Sections {
		if slices.Contains(storageTypes, s.Type) {
			cfg.Storages = append(cfg.Storages, c.storage(s))
		}
	}
	if s := r.one("admin"); s != nil {
		cfg.Admin = c.admin(s)
	}
	if s := r.one("eventlog"); s != nil {
		cfg.EventLog = c.eventlog(s)
	}
	if s := r.one("runner"); s != nil {
		c.runner(s)
	}
	if len(cfg.Storages) == 0 && !c.broken {
		r.missing("there is no storage: write <filestorage 1> with a path")
	}
	return cfg
}

// environment takes a default from a variable.
func fromEnvironment[T any](v *Value[T], name string, convert func(string) T) {
	if text := os.Getenv(name); text != "" && !v.From.Given() {
		*v = Value[T]{convert(text), Source{Env: name}}
	}
}

// sortByPlace puts errors into the order of the files and lines.
func sortByPlace(errs zconfig.Errors, files []string) {
	sort.SliceStable(errs, func(i, j int) bool {
		a, b := errs[i].Pos, errs[j].Pos
		if a.File != b.File {
			return slices.Index(files, a.File) < slices.Index(files, b.File)
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
}
