package export

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxColumns = 500 // attributes with a column of their own
	maxName    = 200 // bytes of the name of a table or a column
	moreColumn = "more"
	exactFloat = 1 << 53 // up to here a float has each integer
)

// A Column is one of a table.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// A schema is found by looking at all rows of a table.
type schema struct {
	fixed []Column // that every row has
	found []*found
	names map[string]*found // by the name of the attribute
	more  bool              // there are attributes without a column
}

// A found column.
type found struct {
	attribute string
	types     []Type
	large     bool // there are integers that a float does not have
}

func newSchema(fixed []Column) *schema {
	return &schema{fixed: fixed, names: make(map[string]*found)}
}

// look takes a row into account.
func (s *schema) look(r row) {
	for i := range r {
		f := s.names[r[i].name]
		if f == nil {
			if len(s.found) == maxColumns {
				s.more = true
				continue
			}
			f = &found{attribute: r[i].name}
			s.names[f.attribute] = f
			s.found = append(s.found, f)
		}
		if r[i].typ != "" && !slices.Contains(f.types, r[i].typ) {
			f.types = append(f.types, r[i].typ)
		}
		if n, ok := r[i].value.(int64); ok && (n > exactFloat || n < -exactFloat) {
			f.large = true
		}
	}
}

// typ is the type that a column has for all its values.
func (f *found) typ() Type {
	switch {
	case len(f.types) == 0:
		return Text
	case len(f.types) == 1:
		return f.types[0]
	case len(f.types) == 2 && slices.Contains(f.types, Integer) && slices.Contains(f.types, Double) && !f.large:
		return Double
	}
	return JSON
}

// columns returns those of the table.
func (s *schema) columns() []Column {
	names := newNames()
	list := slices.Clone(s.fixed)
	for _, c := range s.fixed {
		names.unique(c.Name)
	}
	for _, f := range s.found {
		list = append(list, Column{names.unique(cleanName(f.attribute)), f.typ()})
	}
	if s.more {
		list = append(list, Column{names.unique(moreColumn), JSON})
	}
	return list
}

// values lays a row out in the columns, after the fixed ones.
func (s *schema) values(fixed []any, r row) []any {
	list := make([]any, len(s.fixed)+len(s.found), len(s.fixed)+len(s.found)+1)
	copy(list, fixed)
	byName := make(map[string]cell, len(r))
	for i := range r {
		byName[r[i].name] = r[i].cell // the last one of a name counts, as in Python
	}
	for i, f := range s.found {
		if c, ok := byName[f.attribute]; ok {
			list[len(s.fixed)+i] = c.as(f.typ())
			delete(byName, f.attribute)
		}
	}
	if !s.more {
		return list
	}
	rest := make(map[string]json.RawMessage, len(byName))
	for name, c := range byName {
		rest[strings.ToValidUTF8(name, "\uFFFD")] = c.json()
	}
	if len(rest) == 0 {
		return append(list, nil)
	}
	return append(list, mustJSON(rest))
}

// names gives each thing a name of its own, also for who does not tell upper and lower case apart.
type names map[string]bool

func newNames() names { return make(names) }

func (n names) unique(name string) string {
	for i, base := 2, name; n[strings.ToLower(name)]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	n[strings.ToLower(name)] = true
	return name
}

// cleanName makes the name of a column of that of an attribute, which may be any text.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	for len(name) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	if name == "" {
		return "_"
	}
	return name
}

// fileName makes the name of a table, which is that of a file, of the name of a class.
func fileName(class string) string {
	name := []byte(cleanName(class))
	for i, c := range name {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '_' && c != '-' && (c != '.' || i == 0) {
			name[i] = '_'
		}
	}
	text := string(name)
	if lower := strings.ToLower(text); strings.HasPrefix(lower, "sqlite_") || strings.HasPrefix(lower, "zrsd_") {
		return "_" + text
	}
	return text
}
