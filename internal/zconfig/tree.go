package zconfig

import (
	"fmt"
	"strings"
)

// A Pos is a place in a file. Lines and columns count from 1, columns in characters. The zero Pos is nowhere.
type Pos struct {
	File      string
	Line, Col int
}

// String returns file:line:column, the file alone where no line is known, and "" for nowhere.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// A Tree is what a file says, together with those that it includes.
type Tree struct {
	Root    *Section // of no type and name
	Imports []Import // in the order of the files
	Files   []string // that were read, the first one is that of Load
}

// An Import is one %import.
type Import struct {
	Package string
	Pos     Pos
}

// A Section has keys and sections, each in the order of the file. The order between keys and sections means nothing.
type Section struct {
	Type     string // lower case
	Name     string // lower case, "" without one
	Pos      Pos    // of the first line
	Keys     []Key
	Sections []*Section
}

// A Key is one line in a section.
type Key struct {
	Name  string // lower case
	Pos   Pos
	Value string // with references replaced
	Raw   string // as it is in the file
	At    Pos    // of the value, or of the end of the line where there is none
}

// An Error is one thing wrong in one place.
type Error struct {
	Pos  Pos
	Text string
	err  error // what reading a file failed with, else nil
}

func (e *Error) Error() string {
	if e.Pos == (Pos{}) {
		return e.Text
	}
	return e.Pos.String() + ": " + e.Text
}

func (e *Error) Unwrap() error { return e.err }

// Errors are all that is wrong, one line each. It is never empty where an error is returned.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As and errors.Is each of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}
