package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// A checker collects what is found in all sections.
type checker struct {
	errs     zconfig.Errors
	notes    []Note
	settings []Setting
	broken   bool // the syntax is wrong: what is missing may be there
}

func (c *checker) fail(at zconfig.Pos, format string, args ...any) {
	c.errs = append(c.errs, &zconfig.Error{Pos: at, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) note(at zconfig.Pos, format string, args ...any) {
	c.notes = append(c.notes, Note{at, fmt.Sprintf(format, args...)})
}

// formerCoordinator is what keys began with before version 0.9.
const formerCoordinator = "referee"

// A reader reads the keys of one section by its table.
type reader struct {
	*checker
	section *zconfig.Section
	table   *table
	label   string // of the section, in settings
	keys    map[string]zconfig.Key
	unknown bool // there is a section inside that is not known: what is missing may be what it was meant to be
}

// read checks which keys and sections there are, and returns a reader for their values.
func (c *checker) read(s *zconfig.Section, t *table, around string) *reader {
	label := strings.TrimSpace(s.Type + " " + s.Name)
	if around != "" {
		label = around + "/" + label
	}
	r := &reader{checker: c, section: s, table: t, label: label, keys: map[string]zconfig.Key{}}
	if s.Name != "" && !t.named {
		c.fail(s.Pos, "<%s> has no name: write <%s>", s.Type, s.Type)
	}
	for _, k := range s.Keys {
		r.known(k)
	}
	for _, sub := range s.Sections {
		r.knownSection(sub)
	}
	return r
}

func (r *reader) known(k zconfig.Key) {
	if r.table.entry(k.Name) == nil {
		if now := strings.Replace(k.Name, formerCoordinator, "coordinator", 1); r.table.entry(now) != nil {
			r.note(k.Pos, "%s is called %s now", k.Name, now)
			k.Name = now
		}
	}
	if r.table.entry(k.Name) == nil {
		r.fail(k.Pos, "%s", unknown("key", k.Name, r.where(), keyNames(r.table), r.table.gone))
		return
	}
	if first, twice := r.keys[k.Name]; twice {
		r.fail(k.Pos, "%s is given twice: it is in %s line %d already", k.Name, first.Pos.File, first.Pos.Line)
		return
	}
	r.keys[k.Name] = k
}

func (r *reader) knownSection(s *zconfig.Section) {
	if slices.Contains(r.table.sections, s.Type) {
		return
	}
	r.unknown = true
	if tableOf(s.Type) != nil {
		r.fail(s.Pos, "<%s> cannot be %s: move it", s.Type, r.where())
		return
	}
	r.fail(s.Pos, "%s", unknown("section", s.Type, r.where(), r.table.sections, r.table.gone))
}

// missing says that a section needs another one inside, unless there is one that was meant to be it.
func (r *reader) missing(text string) {
	if !r.unknown {
		r.fail(r.section.Pos, "%s", text)
	}
}

func (r *reader) where() string {
	if r.section.Type == "" {
		return "outside of sections"
	}
	return "in <" + r.section.Type + ">"
}

// get reads one key. What is wrong with it is noted, and then the value is that of the default.
func get[T any](r *reader, name string, k kind[T]) Value[T] {
	e := r.table.entry(name)
	if e == nil || e.kind != k.name {
		panic("config: the table of <" + r.table.typ + "> does not have " + name + " as " + k.name)
	}
	given, found := r.keys[name]
	v := Value[T]{from: Source{Preset: true}}
	if e.preset != "" {
		preset, err := k.read(e.preset)
		if err != nil {
			panic("config: the default of " + name + ": " + err.Error())
		}
		v.V = preset
	}
	switch {
	case found:
		r.take(&v.from, given)
		read, err := k.read(given.Value)
		if err != nil {
			r.fail(given.At, "%s: %v", name, err)
			break
		}
		if e.refused != "" && !sameText(given.Value, e.preset) && any(read) != any(v.V) {
			r.fail(given.Pos, "%s cannot be honoured: %s", name, e.refused)
			break
		}
		v.V = read
	case e.required:
		r.fail(r.section.Pos, "<%s>: the key %s is missing", r.section.Type, name)
	}
	r.show(e, given.Value, v.from)
	return v
}

func sameText(a, b string) bool { return strings.EqualFold(a, b) }

// take notes where a value is.
func (r *reader) take(from *Source, k zconfig.Key) {
	*from = Source{pos: k.At}
	if k.Raw != k.Value {
		from.raw = k.Raw
	}
}

func (r *reader) show(e *entry, given string, from Source) {
	if from.Preset {
		given = e.preset
	}
	r.settings = append(r.settings, Setting{r.label, e.name, given, from})
}

// one returns the section of a type, nil when there is none; further ones are errors.
func (r *reader) one(types ...string) (found *zconfig.Section) {
	for _, s := range r.section.Sections {
		switch {
		case !slices.Contains(types, s.Type):
		case found == nil:
			found = s
		default:
			r.fail(s.Pos, "a second <%s>: the first is in %s line %d, and there can be one", s.Type, found.Pos.File,
				found.Pos.Line)
		}
	}
	return found
}

// positive fails unless a number that was given is at least min.
func positive[T int64 | float64](r *reader, name string, v Value[T], least T) {
	if v.from.given() && v.V < least {
		r.fail(v.from.pos, "%s: %v is too small: at least %v is needed", name, v.V, least)
	}
}
