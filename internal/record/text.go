package record

import (
	"fmt"
	"strconv"
	"strings"
)

// lineWidth is up to which width a value is shown in one line.
const lineWidth = 100

// String shows a value much as Python would, over several lines where it is long.
func (n *Node) String() string { return string(n.appendText(nil, 0)) }

// appendText writes a value at a depth of indentation.
func (n *Node) appendText(b []byte, depth int) []byte {
	if line, ok := n.appendInline(nil, lineWidth); ok {
		return append(b, line...)
	}
	switch n.Kind {
	case Tuple, List, Set, FrozenSet:
		open, end := brackets(n.Kind)
		b = appendLines(append(b, open...), n.Items, depth+1)
		return append(appendLine(b, depth), end...)
	case Dict:
		b = appendPairLines(append(b, '{'), n.Pairs, depth+1)
		return append(appendLine(b, depth), '}')
	case Object:
		b = append(append(b, n.Class...), '(')
		b = appendLines(b, n.Args, depth+1)
		b = appendLines(b, n.Items, depth+1)
		b = appendPairLines(b, n.Pairs, depth+1)
		if n.State != nil {
			b = append(appendLine(b, depth+1), "state "...)
			b = n.State.appendText(b, depth+1)
		}
		return append(appendLine(b, depth), ')')
	default:
		return append(b, n.leaf()...)
	}
}

func appendLine(b []byte, depth int) []byte {
	b = append(b, '\n')
	for range min(depth, maxDepth) {
		b = append(b, "  "...)
	}
	return b
}

func appendLines(b []byte, items []*Node, depth int) []byte {
	for _, v := range items {
		b = append(v.appendText(appendLine(b, depth), depth), ',')
	}
	return b
}

func appendPairLines(b []byte, pairs []Pair, depth int) []byte {
	for _, p := range pairs {
		b = append(p.Key.appendText(appendLine(b, depth), depth), ": "...)
		b = append(p.Value.appendText(b, depth), ',')
	}
	return b
}

func brackets(k Kind) (open, end string) {
	switch k {
	case Tuple:
		return "(", ")"
	case Set:
		return "{", "}"
	case FrozenSet:
		return "frozenset({", "})"
	default:
		return "[", "]"
	}
}

// appendInline shows a value in one line, unless b becomes longer than room.
func (n *Node) appendInline(b []byte, room int) (line []byte, ok bool) {
	switch n.Kind {
	case Tuple, List, Set, FrozenSet:
		open, end := brackets(n.Kind)
		if len(n.Items) == 0 && (n.Kind == Set || n.Kind == FrozenSet) {
			open, end = string(n.Kind)+"(", ")"
		}
		if b, ok = joinInline(append(b, open...), n.Items, room); !ok {
			return b, false
		}
		if n.Kind == Tuple && len(n.Items) == 1 {
			b = append(b, ',')
		}
		b = append(b, end...)
	case Dict:
		if b, ok = joinPairs(append(b, '{'), n.Pairs, room); !ok {
			return b, false
		}
		b = append(b, '}')
	case Object:
		if b, ok = n.appendInlineObject(b, room); !ok {
			return b, false
		}
	default:
		if len(n.Text) > room { // before it is quoted
			return b, false
		}
		b = append(b, n.leaf()...)
	}
	return b, len(b) <= room
}

func joinInline(b []byte, items []*Node, room int) (line []byte, ok bool) {
	for i, v := range items {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, ok = v.appendInline(b, room); !ok {
			return b, false
		}
	}
	return b, true
}

func joinPairs(b []byte, pairs []Pair, room int) (line []byte, ok bool) {
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, ok = p.Key.appendInline(b, room); !ok {
			return b, false
		}
		if b, ok = p.Value.appendInline(append(b, ": "...), room); !ok {
			return b, false
		}
	}
	return b, true
}

func (n *Node) appendInlineObject(b []byte, room int) (line []byte, ok bool) {
	parts := append(append([]*Node{}, n.Args...), n.Items...)
	if b, ok = joinInline(append(append(b, n.Class...), '('), parts, room); !ok {
		return b, false
	}
	if len(parts) > 0 && len(n.Pairs) > 0 {
		b = append(b, ", "...)
	}
	if b, ok = joinPairs(b, n.Pairs, room); !ok {
		return b, false
	}
	if n.State != nil {
		if len(parts)+len(n.Pairs) > 0 {
			b = append(b, ", "...)
		}
		if b, ok = n.State.appendInline(append(b, "state "...), room); !ok {
			return b, false
		}
	}
	return append(b, ')'), true
}

// leaf shows a value that contains no others.
func (n *Node) leaf() string {
	switch n.Kind {
	case None:
		return "None"
	case Text:
		return quote(n.Text)
	case Bytes:
		return quoteBytes(n.Text)
	case Moment:
		return n.Class + " " + n.Text
	case Class:
		return "<class " + n.Class + ">"
	case Ref:
		return n.Ref.String()
	case Cycle:
		return fmt.Sprintf("<the container %d above>", n.Up)
	case Cut:
		return "<" + n.Text + ">"
	default:
		return n.Text
	}
}

// String shows a reference.
func (r *Reference) String() string {
	s := "<" + r.Oid.String()
	if r.Weak {
		s = "<weak " + r.Oid.String()
	}
	if r.Class != "" {
		s += " " + r.Class
	}
	if r.Database != "" {
		s += " in database " + strconv.Quote(r.Database)
	}
	return s + ">"
}

// quote is Python's way to show text. Escapes are those of Go, which has more of them.
func quote(s string) string { return pythonQuotes(strconv.Quote(s)) }

// pythonQuotes puts single quotes around what is in double ones.
func pythonQuotes(q string) string {
	inner := q[1 : len(q)-1]
	if strings.Contains(inner, "'") {
		return q
	}
	return "'" + strings.ReplaceAll(inner, `\"`, `"`) + "'"
}

func quoteBytes(s string) string {
	b := []byte("b'")
	for _, c := range []byte(s) {
		switch {
		case c == '\'' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
		default:
			b = fmt.Appendf(b, `\x%02x`, c)
		}
	}
	return string(append(b, '\''))
}
