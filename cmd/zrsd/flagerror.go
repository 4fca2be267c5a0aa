package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// flagForms say what the value of a flag of a type looks like.
var flagForms = map[string]string{
	"duration":       "give a time such as 500ms, 30s or 2h",
	"int":            "give a whole number",
	"stringToString": "give NAME=Data.fs",
	"bytes":          "give a number of bytes, such as 64KB, 10MB or 1GB",
	"float64":        "give a number",
	"bool":           "give true or false",
}

// plainFlagError says of a value that cannot be read what it should look like, in the place of what Go's parsers say.
func plainFlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	form, known := flagForms[invalid.GetFlag().Value.Type()]
	if !known {
		return err
	}
	return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), form)
}
