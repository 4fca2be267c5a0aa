package pickle

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A vector is a value in the pickles of real Python, see testdata/vectors.py.
type vector struct {
	Repr                                 string
	Proto1, Proto2, Proto3, Fast1, Fast3 string
}

func eachVector(t *testing.T, r io.Reader, f func(t *testing.T, v *vector)) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) { f(t, &v) })
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatalf("%d vectors, %v", n, err)
	}
}

// checkVector reads each form and writes it in every style.
func checkVector(t *testing.T, v *vector) {
	t.Helper()
	for from, text := range map[string]string{
		"protocol 1": v.Proto1, "protocol 2": v.Proto2, "protocol 3": v.Proto3, "fast 1": v.Fast1, "fast 3": v.Fast3,
	} {
		value, err := Load(unhex(t, text), Limits{})
		if err != nil {
			t.Fatalf("%s: reading %s: %v", v.Repr, from, err)
		}
		for name, style := range map[string]struct {
			style Style
			want  string
		}{
			"fast 1": {Proto1Fast, v.Fast1}, "protocol 3": {Proto3, v.Proto3}, "fast 3": {Proto3Fast, v.Fast3},
		} {
			got, err := Dump(value, style.style, Limits{})
			if err != nil {
				t.Fatalf("%s: %s to %s: %v", v.Repr, from, name, err)
			}
			if want := unhex(t, style.want); !bytes.Equal(got, want) {
				t.Errorf("%s: %s to %s:\ngot  %q\nwant %q", v.Repr, from, name, got, want)
			}
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryStyleIsByteForByteThatOfPython(t *testing.T) {
	f, err := os.Open("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	eachVector(t, f, checkVector)
}

func TestRandomValuesAreWrittenAsThePythonHereDoes(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
			t.Fatal(err)
		}
		t.Skip("no python3")
	}
	seed := fmt.Sprint(rand.Uint32())
	t.Logf("to play this again: vectors.py %s 300", seed)
	out, err := exec.CommandContext(t.Context(), python, "testdata/vectors.py", seed, "300").Output()
	if err != nil {
		t.Fatal(err)
	}
	eachVector(t, bytes.NewReader(out), checkVector)
}
