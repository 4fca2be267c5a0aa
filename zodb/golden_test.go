package zodb

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
)

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("../testdata/filestorage/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func float(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// stampOf fills up a date that may lack hour and minute.
func stampOf(date []int, second float64) TimeStamp {
	d := [5]int{}
	copy(d[:], date)
	return TimeStamp{d[0], d[1], d[2], d[3], d[4], second}
}

func TestTimeStampsAreThoseOfZODB(t *testing.T) {
	var v struct {
		Encode []struct {
			Date   []int
			Second string
			Tid    Tid
		}
		Decode []struct {
			Tid          Tid
			Date         []int
			Second, Unix string
		}
		Invalid []struct {
			Date   []int
			Second string
		}
		LaterThan []struct{ Self, Other, Result Tid } `json:"later_than"`
		FromUnix  []struct {
			Now    string
			Tid    Tid
			Last   Tid
			NewTid Tid `json:"new_tid"`
		} `json:"from_unix"`
	}
	vectors(t, "timestamps.json", &v)
	if len(v.Encode)*len(v.Decode)*len(v.Invalid)*len(v.LaterThan)*len(v.FromUnix) == 0 {
		t.Fatal("a section has no vectors")
	}
	for _, c := range v.Encode {
		if got, err := stampOf(c.Date, float(t, c.Second)).Tid(); err != nil || got != c.Tid {
			t.Errorf("%v %s encodes to %v, %v; want %v", c.Date, c.Second, got, err, c.Tid)
		}
	}
	for _, c := range v.Decode {
		if got, want := c.Tid.TimeStamp(), stampOf(c.Date, float(t, c.Second)); got != want {
			t.Errorf("%v decodes to %v, want %v", c.Tid, got, want)
		} else if unix := float(t, c.Unix); got.Unix() != unix {
			t.Errorf("%v is Unix time %v, want %v", c.Tid, got.Unix(), unix)
		}
	}
	for _, c := range v.Invalid {
		second := 0.0
		if c.Second != "" {
			second = float(t, c.Second)
		}
		if got, err := stampOf(c.Date, second).Tid(); err == nil {
			t.Errorf("%v encodes to %v, want an error", c.Date, got)
		}
	}
	for _, c := range v.LaterThan {
		if got := LaterThan(c.Self, c.Other); got != c.Result {
			t.Errorf("%v later than %v is %v, want %v", c.Self, c.Other, got, c.Result)
		}
	}
	for _, c := range v.FromUnix {
		got, err := TidFromUnix(float(t, c.Now))
		if err != nil || got != c.Tid {
			t.Errorf("clock %s gives %v, %v; want %v", c.Now, got, err, c.Tid)
		}
		if next := LaterThan(got, c.Last); next != c.NewTid {
			t.Errorf("clock %s after %v gives %v, want %v", c.Now, c.Last, next, c.NewTid)
		}
	}
}

// handmade are records that ZODB takes for blobs and IsBlobRecord does not, because no pickler writes them: to see that
// something is pushed and popped again takes a pickle machine.
var handmade = map[string]bool{"POP before STOP": true}

func TestBlobRecordsAreThoseOfZODB(t *testing.T) {
	var v []struct {
		Name   string
		Hex    string
		IsBlob bool `json:"is_blob"`
	}
	vectors(t, "blob-records.json", &v)
	if len(v) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if got := IsBlobRecord(b[:min(len(b), BlobHeadLen)]); got != (c.IsBlob && !handmade[c.Name]) {
			t.Errorf("%s: %v, want %v", c.Name, got, c.IsBlob)
		}
	}
}
