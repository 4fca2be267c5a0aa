package config

import (
	"errors"
	"os"
	"slices"
	"sort"
	"strconv"

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
	if isClient(tree.Root) {
		return nil, zconfig.Errors{{Pos: tree.Root.Sections[0].Pos, Text: "this file configures a client, such as " +
			"Zope: zrsd is the server that its <zeoclient> connects to, and takes the zeo.conf of runzeo, with " +
			"<zeo> and <filestorage>"}}
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
	cfg.files = tree.Files
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

// isClient reports whether a file is that of a Zope instance or of another client.
func isClient(root *zconfig.Section) bool {
	return slices.ContainsFunc(root.Sections, func(s *zconfig.Section) bool {
		return s.Type == "zodb_db" || s.Type == "zodb" || s.Type == "zeoclient"
	})
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
		switch s.Type {
		case "as-of":
			cfg.AsOf = append(cfg.AsOf, c.asOf(s))
		case "from-archive":
			cfg.Archives = append(cfg.Archives, c.fromArchive(s))
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
	if len(cfg.Storages)+len(cfg.Archives) == 0 && !c.broken {
		r.missing("there is no storage: write <filestorage 1> with a path")
	}
	return cfg
}

// fromEnvironment takes a default from a variable.
func fromEnvironment[T any](v *Value[T], name string, convert func(string) T) {
	if text := os.Getenv(name); text != "" && !v.from.given() {
		*v = Value[T]{convert(text), Source{env: name}}
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

// A CommandLine is what runzeo takes as options, as text. What is empty is as the file says. It wins over the file.
type CommandLine struct {
	File      string   // -C: the configuration file; "": there is none
	Address   string   // -a: where clients connect
	Admin     string   // --admin: where the admin server answers
	Filenames []string // -f: FileStorages without blobs, named 1, 2, …, instead of all storages of the file
	Timeout   string   // -t: transaction-timeout, in seconds
	PIDFile   string   // --pid-file
}

// replace puts the options into the sections of a file.
func (l CommandLine) replace(root *zconfig.Section) {
	setKey(root, "zeo", "address", l.Address, "-a")
	setKey(root, "zeo", "transaction-timeout", l.Timeout, "-t")
	setKey(root, "zeo", "pid-filename", l.PIDFile, "--pid-file")
	setKey(root, "admin", "address", l.Admin, "--admin")
	if len(l.Filenames) == 0 {
		return
	}
	root.Sections = slices.DeleteFunc(root.Sections, func(s *zconfig.Section) bool {
		return slices.Contains(storageTypes, s.Type)
	})
	for i, path := range l.Filenames {
		at := zconfig.Pos{File: "-f"}
		root.Sections = append(root.Sections, &zconfig.Section{
			Type: "filestorage", Name: strconv.Itoa(i + 1), Pos: at,
			Keys: []zconfig.Key{{Name: "path", Value: path, Raw: path, Pos: at, At: at}},
		})
	}
}

// setKey sets a key of a section, which is added where there is none.
func setKey(root *zconfig.Section, section, name, value, option string) {
	if value == "" {
		return
	}
	i := slices.IndexFunc(root.Sections, func(s *zconfig.Section) bool { return s.Type == section })
	if i < 0 {
		i = len(root.Sections)
		root.Sections = append(root.Sections, &zconfig.Section{Type: section, Pos: zconfig.Pos{File: option}})
	}
	s := root.Sections[i]
	at := zconfig.Pos{File: option}
	s.Keys = slices.DeleteFunc(s.Keys, func(k zconfig.Key) bool { return k.Name == name })
	s.Keys = append(s.Keys, zconfig.Key{Name: name, Value: value, Raw: value, Pos: at, At: at})
}
