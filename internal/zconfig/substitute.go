package zconfig

import "strings"

// replace replaces the references in a text. What is put in is not looked at again.
func (p *parser) replace(s string, at Pos) (value string, ok bool) {
	var out strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "$")
		out.WriteString(plain)
		if !found {
			break
		}
		v, after, problem := p.reference(rest)
		if problem != "" {
			p.fail(at, "%s", problem)
			return "", false
		}
		out.WriteString(v)
		s = after
		if out.Len() > maxLine {
			p.fail(at, "the value has more than %d bytes", maxLine)
			return "", false
		}
	}
	if p.total += out.Len(); p.total > maxText {
		p.stop(at, "all values together have more than %d bytes", maxText)
		return "", false
	}
	return out.String(), true
}

// reference reads what follows a dollar, and returns what it stands for and what comes after it.
func (p *parser) reference(s string) (value, after, problem string) {
	switch {
	case s == "":
		return "", "", "a $ at the end: write $$ for a dollar"
	case s[0] == '$':
		return "$", s[1:], ""
	case s[0] == '{':
		return p.enclosed(s, "}", p.defined)
	case s[0] == '(':
		return p.enclosed(s, ")", p.variable)
	}
	n := nameLength(s)
	if n == 0 {
		return "", "", "a $ that is not followed by a name: write $$ for a dollar"
	}
	value, problem = p.defined(s[:n])
	return value, s[n:], problem
}

// enclosed reads a reference with a parenthesis at both ends.
func (p *parser) enclosed(s, end string, look func(string) (string, string)) (value, after, problem string) {
	n := 1 + nameLength(s[1:])
	if n == 1 || !strings.HasPrefix(s[n:], end) {
		return "", "", "$" + s[:1] + " must be followed by a name and " + end
	}
	value, problem = look(s[1:n])
	return value, s[n+1:], problem
}

func (p *parser) defined(name string) (value, problem string) {
	value, found := p.defines[strings.ToLower(name)]
	if !found {
		return "", name + " is not defined: write %define " + name + " VALUE above, or $$ for a dollar"
	}
	return value, ""
}

func (p *parser) variable(name string) (value, problem string) {
	value, found := p.opt.getenv(name)
	if !found {
		return "", "the environment has no " + name + ": set it"
	}
	return strings.ToValidUTF8(value, "\uFFFD"), ""
}

// nameLength returns the length of the name that s begins with, 0 if there is none.
func nameLength(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
