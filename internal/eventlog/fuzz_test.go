package eventlog

import (
	"strings"
	"testing"
	"time"
)

// FuzzFormat: whatever is accepted can be written, and without a complaint of package fmt in the line.
func FuzzFormat(f *testing.F) {
	f.Add(preset, "%Y-%m-%dT%H:%M:%S")
	f.Add("%(levelname)-10s %(msecs)03d %(created).3f%%", "%%%j")
	f.Add("%(process)+ 5d %(name).2s %(levelno)s", "%")
	f.Fuzz(func(t *testing.T, format, date string) {
		parsed, err := ParseFormat(format)
		if err != nil {
			return
		}
		d, err := ParseDate(date)
		if err != nil {
			return
		}
		r := &record{time: time.Unix(1234567890, 0), level: info, name: "n", message: "m"}
		if line := parsed.line(r, d); strings.Contains(line, "%!") && !strings.Contains(format+date, "!") {
			t.Errorf("%q writes %q", format, line)
		}
	})
}
