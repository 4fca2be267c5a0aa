package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns s with everything escaped that is not printable: control characters, line ends and tabs among them, what
// turns the direction of text, and bytes that are not UTF-8.
func Line(s string) string { return escaped(s, func(r rune) bool { return unicode.IsPrint(r) }) }

// Text is Line for text of several lines: line ends and tabs stay.
func Text(s string) string { return escaped(s, inText) }

func inText(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }

func escaped(s string, stays func(rune) bool) string {
	fits := true
	for i, r := range s {
		if fits = stays(r) && !invalid(s[i:], r); !fits {
			break
		}
	}
	if fits {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case invalid(s[i:], r):
			fmt.Fprintf(&b, `\u%04x`, s[i])
		case stays(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// invalid reports whether r, with which s begins, stands for a byte that is not UTF-8.
func invalid(s string, r rune) bool {
	if r != utf8.RuneError {
		return false
	}
	_, n := utf8.DecodeRuneInString(s)
	return n == 1
}

// Writer returns a writer that writes Text to w. JSON stays JSON of the same meaning.
func Writer(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	w    io.Writer
	rest []byte // the beginning of a character
}

func (w *writer) Write(b []byte) (int, error) {
	all := append(w.rest, b...)
	whole := len(all) - cut(all)
	w.rest = append([]byte(nil), all[whole:]...)
	if _, err := io.WriteString(w.w, Text(string(all[:whole]))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// cut returns how many bytes at the end are the beginning of a character.
func cut(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// Short makes text of a peer fit to be logged and shown: on one line, printable, and at most limit bytes of it. What is
// not printable is a question mark.
func Short(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s[:min(len(s), limit)])
}
