package eventlog

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// A record is one message with what a format may ask for.
type record struct {
	time    time.Time
	level   int
	name    string
	message string
}

// A Format writes records.
type Format struct {
	parts []part
}

// A part is fixed text, or a field in the verb of package fmt that writes it.
type part struct {
	text  string
	field func(r *record, asctime string) any // nil: text is all
}

// fields are those of Python's logging that mean something here.
var fields = map[string]func(r *record, asctime string) any{
	"asctime":   func(_ *record, asctime string) any { return asctime },
	"created":   func(r *record, _ string) any { return float64(r.time.UnixMicro()) / 1e6 },
	"levelname": func(r *record, _ string) any { return levelName(r.level) },
	"levelno":   func(r *record, _ string) any { return r.level },
	"message":   func(r *record, _ string) any { return r.message },
	"msecs":     func(r *record, _ string) any { return float64(r.time.Nanosecond()) / 1e6 },
	"name":      func(r *record, _ string) any { return r.name },
	"process":   func(*record, string) any { return os.Getpid() },
}

const fieldNames = "asctime, created, levelname, levelno, message, msecs, name and process"

// reference is a field in Python's notation, or a percent sign.
var reference = regexp.MustCompile(`%(?:%|\((\w+)\)([-0+ ]*\d{0,3}(?:\.\d{1,2})?)([sdif])|)`)

// escapes are what ZConfig replaces in formats.
var escapes = strings.NewReplacer(`\b`, "\b", `\f`, "\f", `\n`, "\n", `\r`, "\r", `\t`, "\t")

// ParseFormat reads a format of <logfile>.
func ParseFormat(s string) (*Format, error) {
	s = escapes.Replace(s)
	f := &Format{}
	at := 0
	for _, m := range reference.FindAllStringSubmatchIndex(s, -1) {
		f.parts = append(f.parts, part{text: s[at:m[0]]})
		at = m[1]
		whole := s[m[0]:m[1]]
		if whole == "%%" {
			f.parts = append(f.parts, part{text: "%"})
			continue
		}
		if m[2] < 0 {
			return nil, fmt.Errorf("format: a %% that begins nothing: write %%(name)s for a field, %%%% for itself")
		}
		name := s[m[2]:m[3]]
		field, known := fields[name]
		if !known {
			return nil, fmt.Errorf("format: there is no field %s: use %s", name, fieldNames)
		}
		verb, err := verb(s[m[4]:m[5]], s[m[6]:m[7]], field(&record{}, ""))
		if err != nil {
			return nil, fmt.Errorf("format: %s: %w", whole, err)
		}
		f.parts = append(f.parts, part{verb, field})
	}
	f.parts = append(f.parts, part{text: s[at:]})
	return f, nil
}

// verb returns how package fmt writes a value as Python's conversion does.
func verb(flags, conversion string, sample any) (string, error) {
	_, isText := sample.(string)
	switch {
	case conversion == "s" && isText:
		return "%" + flags + "s", nil
	case conversion == "s":
		return "%" + flags + "v", nil
	case isText:
		return "", fmt.Errorf("it is text: write s instead of %s", conversion)
	case conversion == "f":
		return "%" + flags + "f", nil
	}
	return "%" + flags + "d", nil
}

// line returns a record as it goes into the file.
func (f *Format) line(r *record, date *Date) string {
	var out strings.Builder
	asctime := date.text(r.time)
	for _, p := range f.parts {
		if p.field == nil {
			out.WriteString(p.text)
			continue
		}
		fmt.Fprintf(&out, p.text, convert(p.text, p.field(r, asctime)))
	}
	out.WriteByte('\n')
	return out.String()
}

// convert makes a number what its verb needs: Python rounds one down for d and widens one for f.
func convert(verb string, v any) any {
	n, isFloat := v.(float64)
	i, isInt := v.(int)
	switch {
	case isFloat && strings.HasSuffix(verb, "d"):
		return int64(n)
	case isInt && strings.HasSuffix(verb, "f"):
		return float64(i)
	}
	return v
}

// directives are strftime's, in the layouts of package time.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'j': "002", 'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'z': "-0700", 'Z': "MST", 'F': "2006-01-02",
	'T': "15:04:05",
}

// A Date writes times.
type Date struct {
	parts []datePart
}

// A datePart is fixed text or a layout.
type datePart struct{ text, layout string }

// ParseDate reads a format of strftime.
func ParseDate(s string) (*Date, error) {
	d := &Date{}
	for {
		plain, rest, found := strings.Cut(s, "%")
		d.parts = append(d.parts, datePart{text: plain})
		if !found {
			return d, nil
		}
		switch {
		case rest == "":
			return nil, fmt.Errorf("dateformat: a %% at the end: write %%%% for itself")
		case rest[0] == '%':
			d.parts = append(d.parts, datePart{text: "%"})
		case directives[rest[0]] == "":
			return nil, fmt.Errorf("dateformat: %%%c is not known: use %%Y %%m %%d %%H %%M %%S and the like", rest[0])
		default:
			d.parts = append(d.parts, datePart{layout: directives[rest[0]]})
		}
		s = rest[1:]
	}
}

func (d *Date) text(t time.Time) string {
	var out strings.Builder
	for _, p := range d.parts {
		out.WriteString(p.text)
		if p.layout != "" {
			out.WriteString(t.Format(p.layout))
		}
	}
	return out.String()
}
