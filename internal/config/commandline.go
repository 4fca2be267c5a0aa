package config

import (
	"slices"
	"strconv"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// A CommandLine is what runzeo takes as options, as text. What is empty is as the file says. It wins over the file.
type CommandLine struct {
	File      string   // -C: the configuration file; "": there is none
	Address   string   // -a: where clients connect
	Filenames []string // -f: FileStorages without blobs, named 1, 2, …, instead of all storages of the file
	Timeout   string   // -t: transaction-timeout, in seconds
	PIDFile   string   // --pid-file
}

// replace puts the options into the sections of a file.
func (l CommandLine) replace(root *zconfig.Section) {
	setKey(root, "address", l.Address, "-a")
	setKey(root, "transaction-timeout", l.Timeout, "-t")
	setKey(root, "pid-filename", l.PIDFile, "--pid-file")
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

// setKey sets a key of <zeo>, which is added where there is none.
func setKey(root *zconfig.Section, name, value, option string) {
	if value == "" {
		return
	}
	i := slices.IndexFunc(root.Sections, func(s *zconfig.Section) bool { return s.Type == "zeo" })
	if i < 0 {
		i = len(root.Sections)
		root.Sections = append(root.Sections, &zconfig.Section{Type: "zeo", Pos: zconfig.Pos{File: option}})
	}
	zeo := root.Sections[i]
	at := zconfig.Pos{File: option}
	zeo.Keys = slices.DeleteFunc(zeo.Keys, func(k zconfig.Key) bool { return k.Name == name })
	zeo.Keys = append(zeo.Keys, zconfig.Key{Name: name, Value: value, Raw: value, Pos: at, At: at})
}
