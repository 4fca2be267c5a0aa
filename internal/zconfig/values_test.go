package zconfig

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samples are values of every kind, those of the field and those at the edges; every type is tried on all of them.
var samples = []string{
	"", "0", "1", "-1", "+7", " 8 ", "007", "1_000", "1__0", "_1", "1_", "0x10", "1.5", "1e3", "1_0.5_0", "1_.5", ".5",
	"9223372036854775807", "9223372036854775808", "--1", "+-1", "- 1",
	"yes", "True", "ON", "no", "FALSE", "off", "maybe", "y",
	"100KB", "20MB", "3 gb", "1GB ", "kb", "-1kb", "1tb", "20 M", "9223372036854775807kb",
	"10s", "5m", "2h", "3d", "1w", "s", "1.5h", "4w 2d 7h 12m 0.5s", "2h 3h", "1h30m", "-1d", "x",
	"127.0.0.1:8100", "127.0.0.1: 8100", "[::1]:8100", "::1", "[::1]", ":8100", "8100", "65535", "65536", "localhost",
	"LocalHost:80", "host:", "host:port", ":", "./socket", "/var/run/zeo.sock", "two words", "a b:1", "[x]y:1",
}

// verdict is what one type makes of a value; nil is an error.
type verdict map[string]any

func ours(s string) verdict {
	v := verdict{}
	note := func(name string, value any, err error) {
		v[name] = nil
		if err == nil {
			v[name] = value
		}
	}
	b, err := Bool(s)
	note("boolean", b, err)
	i, err := Int(s)
	note("integer", float64(i), err)
	f, err := Float(s)
	note("float", f, err)
	n, err := Bytes(s)
	note("byte-size", float64(n), err)
	d, err := Interval(s)
	note("time-interval", d.Seconds(), err)
	a, err := ParseAddress(s)
	port := any(nil)
	if a.HasPort {
		port = float64(a.Port)
	}
	if a.Path != "" {
		note("socket-address", a.Path, err)
	} else {
		note("socket-address", []any{a.Host, port}, err)
	}
	return v
}

const judgeValues = `
import json, sys, ZConfig.datatypes as d
def run(name, v):
    try:
        r = d.stock_datatypes[name](v)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if name == 'socket-address':
        return r.address
    if name in ('integer', 'byte-size', 'time-interval') and abs(r) >= 2**63:
        return None
    return r
names = ['boolean', 'integer', 'float', 'byte-size', 'time-interval', 'socket-address']
json.dump([{n: run(n, v) for n in names} for v in json.load(sys.stdin)], sys.stdout)
`

func TestValuesMeanWhatZConfigReads(t *testing.T) {
	var theirs []verdict
	judge(t, judgeValues, samples, &theirs)
	for i, s := range samples {
		got := ours(s)
		if s == "9223372036854775807kb" || len(s) > 18 {
			continue // numbers beyond JSON's are tested below
		}
		if diff := cmp.Diff(theirs[i], got); diff != "" {
			t.Errorf("%q: ZConfig (-) and we (+) differ:\n%s", s, diff)
		}
	}
}

func TestNumbersThatDoNotFitAreErrors(t *testing.T) {
	for _, s := range []string{"9223372036854775808", "-9223372036854775809", "9223372036854775807kb", "8589934592gb"} {
		if n, err := Bytes(s); err == nil {
			t.Errorf("%s was read as %d", s, n)
		}
	}
	if d, err := Interval("9223372036d"); err == nil {
		t.Errorf("too long a time was read as %v", d)
	}
	if n, err := Int("9223372036854775807"); n != 1<<63-1 || err != nil {
		t.Errorf("the largest number was read as %d, %v", n, err)
	}
}

// judge runs a script with the real ZConfig.
func judge(t *testing.T, script string, question, answer any) {
	t.Helper()
	in, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), interpreter(t), "-c", script)
	cmd.Stdin = reader(in)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}
