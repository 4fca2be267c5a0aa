package zconfig

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A parser reads the lines of one file.
type parser struct {
	*loader
	path    string
	line    int
	text    string // the line, as it is in the file
	section *Section
	open    []opened // sections that this file has begun
}

// An opened section, and the one to go back to.
type opened struct{ section, around *Section }

func (p *parser) parse(text string) {
	for text != "" && !p.full {
		p.text, text, _ = strings.Cut(text, "\n")
		p.line++
		if len(p.text) > maxLine {
			p.fail(p.at(0), "a line of more than %d bytes", maxLine)
			continue
		}
		p.statement()
	}
	for _, o := range p.open {
		p.fail(o.section.Pos, "<%s> is never closed: write </%s> at its end", o.section.Type, o.section.Type)
	}
}

// at returns the position of a byte of the line.
func (p *parser) at(i int) Pos { return Pos{p.path, p.line, 1 + utf8.RuneCountInString(p.text[:i])} }

// statement reads one line. Positions in it are byte offsets in p.text.
func (p *parser) statement() {
	begin := len(p.text) - len(strings.TrimLeftFunc(p.text, isSpace))
	s := strings.TrimRightFunc(p.text[begin:], isSpace)
	switch {
	case s == "" || s[0] == '#':
	case s[0] == '<' && s[len(s)-1] != '>':
		p.fail(p.at(begin), "a line that begins with < must end with >")
	case strings.HasPrefix(s, "</"):
		p.end(begin, s[2:len(s)-1])
	case s[0] == '<':
		p.begin(begin, s[1:len(s)-1])
	case s[0] == '%':
		p.directive(begin, s[1:])
	default:
		p.key(begin, s)
	}
}

// begin begins a section; inner is what is between < and >.
func (p *parser) begin(at int, inner string) {
	inner, empty := strings.CutSuffix(inner, "/")
	typ, rest := word(strings.TrimRightFunc(inner, isSpace))
	gap := strings.TrimLeftFunc(rest, isSpace)
	name, more := word(gap)
	if typ == "" || more != "" || rest != "" && len(gap) == len(rest) {
		p.fail(p.at(at), "a section begins with <type> or <type name>, without parentheses or further words")
		return
	}
	p.count(p.at(at))
	s := &Section{Type: strings.ToLower(typ), Name: strings.ToLower(name), Pos: p.at(at)}
	p.section.Sections = append(p.section.Sections, s)
	if empty {
		return
	}
	if len(p.open) == maxDepth {
		p.stop(s.Pos, "more than %d sections, one inside the other", maxDepth)
		return
	}
	p.open = append(p.open, opened{s, p.section})
	p.section = s
}

// end ends a section. One that is not the last begun is ended with those inside it, when it is open at all.
func (p *parser) end(at int, inner string) {
	typ := strings.ToLower(strings.TrimRightFunc(inner, isSpace))
	if len(p.open) == 0 {
		p.fail(p.at(at), "</%s> without a section that it could end", typ)
		return
	}
	last := p.open[len(p.open)-1]
	if last.section.Type == typ {
		p.open, p.section = p.open[:len(p.open)-1], last.around
		return
	}
	p.fail(p.at(at), "</%s> where </%s> is needed: the section that began in line %d is still open", typ,
		last.section.Type, last.section.Pos.Line)
	for i := len(p.open) - 1; i >= 0; i-- {
		if p.open[i].section.Type == typ {
			p.section, p.open = p.open[i].around, p.open[:i]
			return
		}
	}
}

// key reads a key and its value.
func (p *parser) key(at int, s string) {
	name, rest := word(s)
	if !isKey(name) {
		p.fail(p.at(at), "%q is not a key: keys are letters, digits, dots, dashes and underscores after a letter", s)
		return
	}
	raw := strings.TrimLeftFunc(rest, isSpace)
	k := Key{Name: strings.ToLower(name), Pos: p.at(at), Raw: raw, At: p.at(at + len(s) - len(raw))}
	value, ok := p.replace(raw, k.At)
	if !ok {
		return
	}
	k.Value = value
	p.count(k.Pos)
	p.section.Keys = append(p.section.Keys, k)
}

// word splits off what is before white space and parentheses.
func word(s string) (first, rest string) {
	i := strings.IndexFunc(s, func(r rune) bool { return r == '(' || r == ')' || isSpace(r) })
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i:]
}

// isKey reports whether s is of the form that ZConfig calls a basic key.
func isKey(s string) bool {
	for i, r := range s {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("-._0123456789", r)) {
			return false
		}
	}
	return s != ""
}

// isSpace is Python's notion of white space: four separators of ASCII more than Unicode's.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
