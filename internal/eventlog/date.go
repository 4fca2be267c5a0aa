package eventlog

import (
	"fmt"
	"strings"
	"time"
)

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
