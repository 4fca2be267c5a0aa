package primary

import (
	"strings"
	"unicode"
)

// maxName is how many bytes of a text from a peer are shown.
const maxName = 200

// clean makes a text from a peer fit to be logged and shown: on one line, printable, not long.
func clean(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
