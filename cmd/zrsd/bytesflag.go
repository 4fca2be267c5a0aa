package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// A bytesFlag is a number of bytes, written as in a configuration file: 10000000, 64KB, 10MB, 1GB.
type bytesFlag struct{ n *int64 }

// bytesVar adds the flag of a number of bytes.
func bytesVar(flags *pflag.FlagSet, n *int64, name string, preset int64, usage string) {
	*n = preset
	flags.Var(bytesFlag{n}, name, usage)
}

// Type is part of pflag.Value.
func (f bytesFlag) Type() string { return "bytes" }

// Set is part of pflag.Value.
func (f bytesFlag) Set(s string) (err error) {
	*f.n, err = zconfig.Bytes(s)
	return err
}

// String is the shortest way to write it.
func (f bytesFlag) String() string {
	n, unit := *f.n, ""
	for _, larger := range []string{"KB", "MB", "GB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, larger
	}
	return strconv.FormatInt(n, 10) + unit
}
