package record

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MarshalJSON is in the form that the package comment has. It keeps the order of dictionaries.
func (n *Node) MarshalJSON() ([]byte, error) { return n.appendJSON(nil), nil }

// largestInt is the largest integer that every reader of JSON keeps.
const largestInt = 1<<53 - 1

func (n *Node) appendJSON(b []byte) []byte {
	switch n.Kind {
	case None:
		return append(b, "null"...)
	case Bool:
		return append(b, strings.ToLower(n.Text)...)
	case Int:
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil && i <= largestInt && i >= -largestInt {
			return append(b, n.Text...)
		}
		return appendTagged(b, "int", n.Text)
	case Float:
		if strings.ContainsAny(n.Text, "n") { // nan, inf
			return appendTagged(b, "float", n.Text)
		}
		return append(b, n.Text...)
	case Text:
		return appendString(b, n.Text)
	case Bytes:
		return appendTagged(b, "bytes", hex.EncodeToString([]byte(n.Text)))
	case Moment:
		return appendTagged(b, n.Class, n.Text)
	case Class:
		return appendTagged(b, "class", n.Class)
	case Cut:
		return appendTagged(b, "cut", n.Text)
	case Cycle:
		b = strconv.AppendInt(append(b, `{"@cycle":`...), int64(n.Up), 10)
		return append(b, '}')
	}
	return n.appendContainer(b)
}

func (n *Node) appendContainer(b []byte) []byte {
	switch n.Kind {
	case List:
		return appendItems(b, n.Items)
	case Tuple, Set, FrozenSet:
		b = append(b, `{"@`+string(n.Kind)+`":`...)
		return append(appendItems(b, n.Items), '}')
	case Dict:
		if n.named() {
			return n.appendNamed(b)
		}
		b = append(b, `{"@dict":`...)
		return append(appendPairs(b, n.Pairs), '}')
	case Ref:
		return n.Ref.appendJSON(b)
	default:
		return n.appendObject(b)
	}
}

// named reports whether all keys of a dictionary are text, and none comes twice.
func (n *Node) named() bool {
	seen := make(map[string]bool, len(n.Pairs))
	for _, p := range n.Pairs {
		if p.Key.Kind != Text || seen[p.Key.Text] || !utf8.ValidString(p.Key.Text) {
			return false
		}
		seen[p.Key.Text] = true
	}
	return true
}

func (n *Node) appendNamed(b []byte) []byte {
	b = append(b, '{')
	for i, p := range n.Pairs {
		if i > 0 {
			b = append(b, ',')
		}
		key := p.Key.Text
		if strings.HasPrefix(key, "@") {
			key = "@" + key
		}
		b = append(appendString(b, key), ':')
		b = p.Value.appendJSON(b)
	}
	return append(b, '}')
}

func (n *Node) appendObject(b []byte) []byte {
	b = appendString(append(b, `{"@object":`...), n.Class)
	if len(n.Args) > 0 {
		b = appendItems(append(b, `,"args":`...), n.Args)
	}
	if len(n.Items) > 0 {
		b = appendItems(append(b, `,"items":`...), n.Items)
	}
	if len(n.Pairs) > 0 {
		b = appendPairs(append(b, `,"entries":`...), n.Pairs)
	}
	if n.State != nil {
		b = n.State.appendJSON(append(b, `,"state":`...))
	}
	return append(b, '}')
}

func (r *Reference) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"@ref":`...), r.Oid.String())
	if r.Class != "" {
		b = appendString(append(b, `,"class":`...), r.Class)
	}
	if r.Database != "" {
		b = appendString(append(b, `,"database":`...), r.Database)
	}
	if r.Weak {
		b = append(b, `,"weak":true`...)
	}
	return append(b, '}')
}

func appendItems(b []byte, items []*Node) []byte {
	b = append(b, '[')
	for i, n := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = n.appendJSON(b)
	}
	return append(b, ']')
}

func appendPairs(b []byte, pairs []Pair) []byte {
	b = append(b, '[')
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Key.appendJSON(append(b, '['))
		b = append(p.Value.appendJSON(append(b, ',')), ']')
	}
	return append(b, ']')
}

func appendTagged(b []byte, tag, s string) []byte {
	b = append(b, `{"@`+tag+`":`...)
	return append(appendString(b, s), '}')
}

// appendString writes text that may have lone surrogates in it.
func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // of no string
		return append(b, `""`...)
	}
	return append(b, quoted...)
}
