package zconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options say where files and variables come from. The zero value means the operating system.
type Options struct {
	open   func(path string) (io.ReadCloser, error)
	getenv func(name string) (value string, found bool)
}

// Load reads the file at path and those that it includes. The error is of type Errors; the tree has what could be read.
func Load(path string, opt Options) (*Tree, error) {
	if opt.open == nil {
		opt.open = func(path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	if opt.getenv == nil {
		opt.getenv = os.LookupEnv
	}
	l := &loader{opt: opt, tree: &Tree{Root: &Section{Pos: Pos{path, 1, 1}}}, defines: map[string]string{}}
	l.file(path, l.tree.Root, Pos{})
	if len(l.errs) > 0 {
		return l.tree, l.errs
	}
	return l.tree, nil
}

// A loader has what all files of a configuration share.
type loader struct {
	opt     Options
	tree    *Tree
	defines map[string]string // by name in lower case
	chain   []string          // the files that are being read, each included by the one before
	elems   int               // keys, sections, definitions
	total   int               // bytes of values
	errs    Errors
	full    bool // a bound was reached: nothing more is read
}

// fail notes an error; the last one that fits says that there may be more.
func (l *loader) fail(at Pos, format string, args ...any) {
	l.note(at, nil, fmt.Sprintf(format, args...))
}

func (l *loader) note(at Pos, err error, text string) {
	if l.full {
		return
	}
	if len(l.errs) == maxErrors {
		text, err, l.full = "too many errors: the rest was not read", nil, true
	}
	l.errs = append(l.errs, &Error{at, text, err})
}

// stop notes that a bound was reached and ends reading.
func (l *loader) stop(at Pos, format string, args ...any) {
	l.fail(at, format, args...)
	l.full = true
}

// count takes one more element into account.
func (l *loader) count(at Pos) {
	if l.elems++; l.elems > maxElements {
		l.stop(at, "more than %d keys and sections: this cannot be meant", maxElements)
	}
}

// file reads one file into a section; from is the place of the %include, nowhere for the first file.
func (l *loader) file(path string, into *Section, from Pos) {
	switch {
	case slices.Contains(l.chain, path):
		l.fail(from, "%s includes itself", path)
		return
	case len(l.chain) == maxIncludes:
		l.fail(from, "more than %d files that include each other", maxIncludes)
		return
	case len(l.tree.Files) == maxFiles:
		l.stop(from, "more than %d files", maxFiles)
		return
	}
	text, err := l.read(path)
	if err != nil {
		l.note(from, err, "reading the configuration: "+err.Error())
		return
	}
	l.tree.Files = append(l.tree.Files, path)
	l.chain = append(l.chain, path)
	p := &parser{loader: l, path: path, section: into}
	p.parse(text)
	l.chain = l.chain[:len(l.chain)-1]
}

func (l *loader) read(path string) (string, error) {
	f, err := l.opt.open(path)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(b) > maxFile {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	if at := invalid(b); at >= 0 {
		line := 1 + strings.Count(string(b[:at]), "\n")
		return "", fmt.Errorf("%s is not UTF-8 text: line %d", path, line)
	}
	return string(b), nil
}

// invalid returns where text stops being UTF-8, -1 if it does not.
func invalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// Bounds on what a configuration may cost. A hundred times what is seen in the field.
const (
	maxFile     = 1 << 20  // bytes of one file
	maxLine     = 64 << 10 // bytes of one line, and of one value after replacement
	maxText     = 16 << 20 // bytes of all values together, after replacement
	maxIncludes = 16       // files that include each other, one inside the other
	maxFiles    = 256      // files read, each as often as it is included
	maxDepth    = 32       // sections inside sections
	maxElements = 100_000  // keys, sections and definitions
	maxErrors   = 50       // reported; reading stops there
)
