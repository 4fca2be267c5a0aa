package cluster

import (
	"testing"
	"time"
)

// A node has to be out all the time, by what a primary and the others answer, before a spare takes its place.
func TestHowLongANodeIsOutBeforeASpareComes(t *testing.T) {
	out, well, nobody := lookOfSpare{primary: true, out: "b:1"}, lookOfSpare{primary: true}, lookOfSpare{out: "b:1"}
	now := time.Now()
	for name, c := range map[string]struct {
		looks []lookOfSpare // a second apart
		comes bool
	}{
		"out for three seconds":       {[]lookOfSpare{out, out, out, out}, true},
		"out for two":                 {[]lookOfSpare{out, out, out}, false},
		"back for a moment":           {[]lookOfSpare{out, out, well, out, out, out}, false},
		"no primary answers":          {[]lookOfSpare{nobody, nobody, nobody, nobody, nobody}, false},
		"another one out in between":  {[]lookOfSpare{out, {primary: true, out: "c:1"}, out, out}, true},
		"the primary away for a look": {[]lookOfSpare{out, out, nobody, out, out, out}, false},
	} {
		var s spare
		comes := false
		for i, found := range c.looks {
			comes = s.missing(found, now.Add(time.Duration(i)*time.Second), 3*time.Second)
		}
		if comes != c.comes {
			t.Errorf("%s: it comes: %v", name, comes)
		}
	}
}
