package zeo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestTheLogNamesTheReleaseOfAClientThatIsTooOld(t *testing.T) {
	for answer, want := range map[string]string{
		"Z4": "ZEO 4", "Z3101": "ZEO 3.10", "Z310": "ZEO 3.10", "Z309": "ZODB 3.9", "Z308": "ZODB 3.8",
		"Z303": "ZODB 3.3",
		"Z201": "ZODB 3.2",
		"Z6":   "", "M4": "", "GET / HTTP/1.1": "",
	} {
		var log bytes.Buffer
		s := start(t, Options{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})}, StorageOptions{})
		p := s.dial(t, answer)
		p.cut()
		s.stop()
		text := log.String()
		if want == "" && strings.Contains(text, "upgrade") ||
			want != "" && (!strings.Contains(text, "it is of "+want+",") ||
				!strings.Contains(text, "upgrade ZEO in this client to 5.4")) {
			t.Errorf("%s: %s", answer, text)
		}
	}
}
