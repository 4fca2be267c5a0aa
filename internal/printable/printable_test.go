package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// hostile are characters that a terminal, or who reads a log, takes for something else than text.
var hostile = map[string]string{
	"a new line":                  "\n",
	"a carriage return":           "\r",
	"a tab":                       "\t",
	"an escape":                   "\x1b[2J",
	"a bell":                      "\a",
	"delete":                      "\x7f",
	"a control sequence in C1":    "\u009b2J",
	"next line":                   "\u0085",
	"a line separator":            "\u2028",
	"right to left from here":     "\u202e",
	"an isolate":                  "\u2066",
	"a right-to-left mark":        "\u200f",
	"an Arabic letter mark":       "\u061c",
	"nothing wide":                "\u200b",
	"a tag character":             "\U000e0041",
	"a byte that is not UTF-8":    "\xff",
	"C1 as a byte":                "\x9b2J",
	"half a character at the end": "\xe2\x82",
}

func TestALineHasOnlyPrintableCharacters(t *testing.T) {
	for name, s := range hostile {
		got := Line("before" + s + "after " + s)
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
			t.Errorf("%s: %q", name, got)
		}
		if !strings.HasPrefix(got, `before\`) {
			t.Errorf("%s is not shown as what it is: %q", name, got)
		}
	}
	for _, s := range []string{"", "plain", "Grüße, 世界 \\ \"x\"", "\ufffd"} {
		if got := Line(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestAWriterLetsLinesPassAndNothingElse(t *testing.T) {
	for name, s := range hostile {
		var out strings.Builder
		w := Writer(&out)
		text := "a\tü世\n" + s + "b"
		for i := range len(text) { // the worst way to be written to
			if n, err := w.Write([]byte{text[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := out.String(); got != Text(text) || !strings.HasPrefix(got, "a\tü世\n") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestJSONKeepsItsMeaning(t *testing.T) {
	for name, s := range hostile {
		s = strings.ToValidUTF8(s, "")
		document, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal([]byte(Text(string(document))), &got); err != nil || got != s {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestATextOfAPeerIsShortAndOnOneLine(t *testing.T) {
	for text, want := range map[string]string{"a\nb\x1b": "a?b?", "löß": "lö\ufffd", "": ""} {
		if got := Short(text, 4); got != want {
			t.Errorf("of %q %q is shown, want %q", text, got, want)
		}
	}
}
