package config

import "github.com/zrsd/zrsd/internal/zconfig"

// A Source says where a value came from.
type Source struct {
	Pos    zconfig.Pos // in a file
	Env    string      // the variable of the environment, where it is no file
	Raw    string      // the text in the file, where references were replaced in it
	Preset bool        // it is the default
}

// String returns file:line:column, "environment NAME" or "default".
func (s Source) String() string {
	switch {
	case s.Preset:
		return "default"
	case s.Env != "":
		return "environment " + s.Env
	case s.Raw != "":
		return s.Pos.String() + " (" + s.Raw + ")"
	}
	return s.Pos.String()
}

// Given reports whether the value was set.
func (s Source) Given() bool { return !s.Preset }

// A Value is a setting and where it came from.
type Value[T any] struct {
	V    T
	From Source
}

// A Setting is a value as text, for showing it.
type Setting struct {
	Section string // types and names of the sections around it, with slashes between; "zrs main/filestorage"
	Key     string
	Text    string // as it is in the file, with references replaced; "" for none
	From    Source
}

// A Note is something in a file that is right and means nothing here.
type Note struct {
	Pos  zconfig.Pos
	Text string
}

func (n Note) String() string { return n.Pos.String() + ": " + n.Text }
