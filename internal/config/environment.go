package config

import (
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// The variables of the plone-zeo container image, and what its start script makes of those that are not set.
var containerDefaults = map[string]string{
	"ZEO_PORT": "8100", "ZEO_READ_ONLY": "false", "ZEO_INVALIDATION_QUEUE_SIZE": "100", "ZEO_PACK_KEEP_OLD": "true",
}

// FromEnvironment returns the configuration of that image for one storage, whose folders it creates. What l says of
// addresses wins over the environment.
func FromEnvironment(data, blobs string, l CommandLine) (*Config, error) {
	for _, dir := range []string{filepath.Dir(data), blobs} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	c := &checker{}
	zeo := variables("zeo", [2]string{"address", "ZEO_PORT"}, [2]string{"read-only", "ZEO_READ_ONLY"},
		[2]string{"invalidation-queue-size", "ZEO_INVALIDATION_QUEUE_SIZE"})
	file := variables("filestorage", [2]string{"pack-keep-old", "ZEO_PACK_KEEP_OLD"})
	file.Keys = append(file.Keys, zconfig.Key{Name: "path", Value: data, Raw: data, At: zconfig.Pos{File: "--data"}})
	if blobs != "" {
		file.Keys = append(file.Keys, zconfig.Key{Name: "blob-dir", Value: blobs, Raw: blobs,
			At: zconfig.Pos{File: "--blobs"}})
	}
	root := &zconfig.Section{Sections: []*zconfig.Section{zeo, file}}
	l.replace(root)
	cfg := c.file(root)
	c.check(cfg)
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	cfg.Notes, cfg.Settings = c.notes, c.settings
	return cfg, nil
}

// variables returns a section of keys whose values are variables: pairs of a key and its variable.
func variables(typ string, pairs ...[2]string) *zconfig.Section {
	s := &zconfig.Section{Type: typ}
	for _, pair := range pairs {
		key, name := pair[0], pair[1]
		value, found := os.LookupEnv(name)
		at := zconfig.Pos{File: "environment " + name}
		if !found {
			value, at.File = containerDefaults[name], "default of "+name
		}
		s.Keys = append(s.Keys, zconfig.Key{Name: key, Pos: at, Value: value, Raw: value, At: at})
	}
	return s
}

// DefaultEventLog is what runzeo does without <eventlog>.
func DefaultEventLog() *EventLog {
	preset := func(name string) Value[string] {
		return Value[string]{logfileTable.entry(name).preset, Source{Preset: true}}
	}
	return &EventLog{
		Level: Value[Level]{levelNames["info"], Source{Preset: true}},
		Files: []*LogFile{{
			Path:   Value[string]{"STDERR", Source{Preset: true}},
			Format: preset("format"), DateFormat: preset("dateformat"),
		}},
	}
}
