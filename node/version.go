package node

import "runtime/debug"

// Version returns the version of the program as the Go toolchain recorded it: a tag, a pseudo version with the
// commit, or "(devel)".
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
