package node

import "runtime/debug"

// release is the version of a release, set by the linker: see the target release of the Makefile. Empty in other
// builds.
var release string

// Version returns the version of the program: that of the release, or what the Go toolchain recorded: a tag, a pseudo
// version with the commit, or "(devel)".
func Version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Commit returns the commit that the program was built from, with a + behind it when files were changed, and "unknown"
// where the Go toolchain recorded none.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return commit + changed
}
