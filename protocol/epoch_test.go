package protocol

import (
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Histories can be the same up to the earliest beginning of an epoch that one side does not know.
func TestWhereEpochsPart(t *testing.T) {
	first := Epoch{Number: 1, Node: "a"}
	b2, c2 := Epoch{Number: 2, Begin: 20, Node: "b"}, Epoch{Number: 2, Begin: 20, Node: "c"}
	later := Epoch{Number: 2, Begin: 30, Node: "c"}
	old := Epoch{Number: 2, Begin: 20} // as an older version wrote it down
	for _, tt := range []struct {
		name   string
		a, b   []Epoch
		at     zodb.Tid
		parted bool
	}{
		{"the same", []Epoch{first, b2}, []Epoch{first, b2}, 0, false},
		{"one knows one more", []Epoch{first}, []Epoch{first, b2}, 20, true},
		{"one knows several more", []Epoch{first}, []Epoch{first, b2, {Number: 3, Begin: 40}}, 20, true},
		{"one number, two nodes", []Epoch{first, b2}, []Epoch{first, c2}, 20, true},
		{"one number, two nodes, two beginnings", []Epoch{first, b2}, []Epoch{first, later}, 20, true},
		{"each knows one of its own", []Epoch{first, b2}, []Epoch{first, {Number: 3, Begin: 10, Node: "c"}}, 10, true},
		{"an older version does not say the node", []Epoch{{Number: 1}, old}, []Epoch{first, b2}, 0, false},
		{"nothing in common", []Epoch{first}, []Epoch{{Number: 1, Node: "z"}}, 0, true},
		{"nothing known", nil, []Epoch{first, b2}, 0, true},
		{"nothing known at all", nil, nil, 0, false},
	} {
		for range 2 {
			if at, parted := Part(tt.a, tt.b); at != tt.at || parted != tt.parted {
				t.Errorf("%s: %v, %v", tt.name, at, parted)
			}
			tt.a, tt.b = tt.b, tt.a
		}
	}
}

// Two epochs are one by number, beginning and node; what two nodes say of one is equal only with what is for people.
func TestWhichEpochsAreOne(t *testing.T) {
	e := Epoch{Number: 2, Begin: 7, Node: "a", By: "db1", At: "2026-01-02T03:00:00Z", Voters: []string{"a", "b"}}
	if !e.Equal(e) || !e.Same(e) {
		t.Error("it is another one than itself")
	}
	for what, c := range map[string]struct {
		change func(*Epoch)
		same   bool
	}{
		"number":           {func(e *Epoch) { e.Number++ }, false},
		"beginning":        {func(e *Epoch) { e.Begin++ }, false},
		"node":             {func(e *Epoch) { e.Node = "b" }, false},
		"no node":          {func(e *Epoch) { e.Node = "" }, true},
		"name":             {func(e *Epoch) { e.By = "db2" }, true},
		"time":             {func(e *Epoch) { e.At = "" }, true},
		"who voted for it": {func(e *Epoch) { e.Voters = []string{"a"} }, true},
	} {
		other := e
		c.change(&other)
		if e.Equal(other) || other.Equal(e) || e.Same(other) != c.same || other.Same(e) != c.same {
			t.Errorf("another %s: equal %v, same %v", what, e.Equal(other), e.Same(other))
		}
	}
}
