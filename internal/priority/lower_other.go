//go:build !linux

package priority

// Lower changes nothing here.
func Lower(Level) {}

// LowerAll changes nothing here.
func LowerAll(Level) {}
