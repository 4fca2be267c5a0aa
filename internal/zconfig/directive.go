package zconfig

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// directive reads a line that begins with %.
func (p *parser) directive(at int, s string) {
	name, rest := word(s)
	arg := strings.TrimLeftFunc(rest, isSpace)
	act, known := map[string]func(at Pos, arg string){
		"define": p.define, "import": p.imports, "include": p.include,
	}[name]
	switch {
	case !known:
		p.fail(p.at(at), "%%%s is unknown: there are %%define, %%import and %%include, in lower case", name)
	case arg == "":
		p.fail(p.at(at), "%%%s needs something after it", name)
	default:
		act(p.at(at+1+len(s)-len(arg)), arg)
	}
}

// define gives a name to a value. Repeating a definition is allowed where it changes nothing.
func (p *parser) define(at Pos, arg string) {
	end := strings.IndexFunc(arg, isSpace)
	if end < 0 {
		end = len(arg)
	}
	name, raw := strings.ToLower(arg[:end]), strings.TrimLeftFunc(arg[end:], isSpace)
	if nameLength(name) != len(name) {
		p.fail(at, "%q cannot be defined: names are letters, digits and underscores after a letter", name)
		return
	}
	if old, again := p.defines[name]; again && old != raw {
		p.fail(at, "%s is defined already, as %q: it cannot be given another value", name, old)
		return
	}
	value, ok := p.replace(raw, at)
	if !ok {
		value = "" // known from now on, so that uses of it are not reported as well
	}
	p.count(at)
	p.defines[name] = value
}

func (p *parser) imports(at Pos, arg string) {
	if name, ok := p.replace(arg, at); ok {
		p.count(at)
		p.tree.Imports = append(p.tree.Imports, Import{name, at})
	}
}

// scheme is how a URL begins.
var scheme = regexp.MustCompile(`^[a-zA-Z][-+.a-zA-Z0-9]*:`)

// include reads another file into the section that is open. ZConfig takes URLs here, so percent signs are escapes.
func (p *parser) include(at Pos, arg string) {
	ref, ok := p.replace(arg, at)
	if !ok {
		return
	}
	path, isFile := strings.CutPrefix(ref, "file://")
	switch {
	case !isFile && (scheme.MatchString(ref) || strings.HasPrefix(ref, "//")):
		p.fail(at, "%q cannot be included: name a file", ref)
		return
	case strings.ContainsAny(ref, "#?"):
		p.fail(at, "%q cannot be included: # and ? mean something else in a URL; write %%23 and %%3F", ref)
		return
	}
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(p.path), path)
	}
	p.file(filepath.Clean(path), p.section, at)
}
