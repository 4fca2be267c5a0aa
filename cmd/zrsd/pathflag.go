package main

import (
	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A pathFlag is the path of a Data.fs or a blob directory, in the one spelling that counts from here on.
type pathFlag struct{ path *string }

func (f pathFlag) String() string { return *f.path }
func (f pathFlag) Type() string   { return "string" }

// Set is part of pflag.Value.
func (f pathFlag) Set(path string) error {
	*f.path = vfs.CleanPath(path)
	return nil
}

// pathVar adds the flag of such a path.
func pathVar(flags *pflag.FlagSet, path *string, name, usage string) {
	flags.Var(pathFlag{path}, name, usage)
}
