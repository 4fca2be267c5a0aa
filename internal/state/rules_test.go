package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// times returns a list that has an entry so many times.
func times[T any](n int, entry T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = entry
	}
	return list
}

// What is as long as it may be is kept, and one more is refused.
func TestWhatAStateMayHave(t *testing.T) {
	rewind := func(last, first, until zodb.Tid, follow int) *Rewind {
		return &Rewind{Last: last, First: first, Until: until, Follow: times(follow, "a:1"), Epochs: twoEpochs}
	}
	epoch := func(e protocol.Epoch) func(*State) {
		return func(s *State) { e.Number = 9; s.Epochs = []protocol.Epoch{e} }
	}
	waits := func(w Waits) func(*State) { return func(s *State) { s.Waits = &w } }
	text := func(n int) string { return strings.Repeat("a", n) }
	for name, c := range map[string]struct {
		change func(*State)
		kept   bool
	}{
		"addresses":              {func(s *State) { s.Follow = times(maxFollow, "a") }, true},
		"one address more":       {func(s *State) { s.Follow = times(maxFollow+1, "a") }, false},
		"a long address":         {func(s *State) { s.Follow = []string{text(maxAddress)} }, true},
		"a longer one":           {func(s *State) { s.Follow = []string{text(maxAddress + 1)} }, false},
		"rewinds":                {func(s *State) { s.SetAside = times(maxSetAside, SetAside{}) }, true},
		"one rewind more":        {func(s *State) { s.SetAside = times(maxSetAside+1, SetAside{}) }, false},
		"a long name":            {epoch(protocol.Epoch{By: text(maxSaid)}), true},
		"a longer name":          {epoch(protocol.Epoch{By: text(maxSaid + 1)}), false},
		"a long time":            {epoch(protocol.Epoch{At: text(maxSaid)}), true},
		"a longer time":          {epoch(protocol.Epoch{At: text(maxSaid + 1)}), false},
		"voters":                 {epoch(protocol.Epoch{Voters: times(protocol.MaxVoters, nodeB)}), true},
		"one voter more":         {epoch(protocol.Epoch{Voters: times(protocol.MaxVoters+1, nodeB)}), false},
		"a voter without an id":  {epoch(protocol.Epoch{Voters: []string{"b"}}), false},
		"counted":                {waits(Waits{Epoch: 1, Required: 1, Nodes: times(maxCounted, nodeB)}), true},
		"one counted more":       {waits(Waits{Epoch: 1, Required: 1, Nodes: times(maxCounted+1, nodeB)}), false},
		"one without an id":      {waits(Waits{Epoch: 1, Required: 1, Nodes: []string{"b"}}), false},
		"waits since no epoch":   {waits(Waits{Required: 1}), false},
		"waits for none":         {waits(Waits{Epoch: 1}), false},
		"a rewind":               {func(s *State) { s.Rewind = rewind(1, 2, 2, maxFollow) }, true},
		"of nothing":             {func(s *State) { s.Rewind = rewind(2, 2, 2, 1) }, false},
		"of less":                {func(s *State) { s.Rewind = rewind(1, 3, 2, 1) }, false},
		"that follows nobody":    {func(s *State) { s.Rewind = rewind(1, 2, 2, 0) }, false},
		"that follows too many":  {func(s *State) { s.Rewind = rewind(1, 2, 2, maxFollow+1) }, false},
		"that has no history":    {func(s *State) { s.Rewind = rewind(1, 2, 2, 1); s.Rewind.Epochs = nil }, false},
		"the last number of all": {func(s *State) { s.MaxEpochSeen = math.MaxUint64 }, true},
		"more checkpoints":       {func(s *State) { s.Chain = someChain(MaxCheckpoints + 1) }, false},
		"checkpoints":            {func(s *State) { s.Chain = someChain(MaxCheckpoints) }, true},
	} {
		k := keeper(t, simdisk.New(), "Data.fs")
		err := k.Update(func(s *State) error { c.change(s); return nil })
		if (err == nil) != c.kept {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file is as large as it may be, and no larger: what is written is read.
func TestHowLargeAFileMayBe(t *testing.T) {
	s := &State{StorageID: someID, Epochs: twoEpochs}
	sized := func(n int) ([]byte, error) {
		s.extra = map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("a", n) + `"`)}
		return encode(s)
	}
	small, err := sized(0)
	must(t, err)
	large, err := sized(maxSize - len(small))
	must(t, err)
	if got, err := decode("x", large); err != nil || len(large) != maxSize || len(got.extra) != 1 {
		t.Errorf("%d bytes: %v", len(large), err)
	}
	if _, err := sized(maxSize - len(small) + 1); err == nil {
		t.Error("a larger one was written")
	}
}

// A file says its format. One that is not known is no damage, and a member of today is not one of former times.
func TestWhichFormatsAreRead(t *testing.T) {
	const body = `{"format":%d,"storage":%q,"epochs":[{"number":1,"begin":"00"}]%s}`
	for number, known := range map[int]bool{-1: false, 0: false, 1: true, format: true, format + 1: false} {
		_, err := decode("x", sealed(fmt.Sprintf(body, number, someID, "")))
		var version *VersionError
		if (err == nil) != known || !known && !errors.As(err, &version) {
			t.Errorf("format %d: %v", number, err)
		}
	}
	s, err := decode("x", sealed(fmt.Sprintf(body, format, someID, `,"promised":6`)))
	if err != nil || s.MaxEpochSeen != 0 || len(s.extra) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Numbers of epochs rise by a few. What is far above all that a node knows is not believed: H4.
func TestWhichNumbersAreBelieved(t *testing.T) {
	for _, c := range []struct {
		number, known uint64
		believed      bool
	}{
		{5, 5, true}, {1, 5, true}, {5 + MaxStep, 5, true}, {6 + MaxStep, 5, false}, {math.MaxUint64, 5, false},
		{0, math.MaxUint64, true}, {math.MaxUint64, math.MaxUint64 - 1, true},
	} {
		if err := Believe(c.number, c.known); (err == nil) != c.believed {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// What is known of commits that waited never covers more than what is certain. No change is made in place: others read.
func TestWhatIsKnownOfCommitsThatWaited(t *testing.T) {
	w := Waits{Epoch: 2, After: 5, Required: 1, Nodes: []string{nodeB}}
	for name, c := range map[string]struct {
		change func(*Waits) *Waits
		behind zodb.Tid
		nodes  []string
		paused bool
	}{
		"one more counts": {
			func(w *Waits) *Waits { return w.Counts(nodeC) }, 5, []string{nodeB, nodeC}, false,
		},
		"one that counts":             {func(w *Waits) *Waits { return w.Counts(nodeB) }, 5, []string{nodeB}, false},
		"one is replaced":             {func(w *Waits) *Waits { return w.Without(nodeB, 7) }, 7, nil, false},
		"nobody is, and one has less": {func(w *Waits) *Waits { return w.Without("", 7) }, 7, []string{nodeB}, false},
		"of what was so before":       {func(w *Waits) *Waits { return w.Without("", 3) }, 5, []string{nodeB}, false},
		"they do not wait":            {(*Waits).Pause, 5, []string{nodeB}, true},
		"they wait again":             {func(w *Waits) *Waits { return w.Pause().From(7) }, 7, []string{nodeB}, false},
		"from an earlier one on":      {func(w *Waits) *Waits { return w.From(3) }, 5, []string{nodeB}, false},
	} {
		got := c.change(&w)
		if got.Epoch != 2 || got.Required != 1 || got.After != c.behind || got.Paused != c.paused ||
			!slices.Equal(got.Nodes, c.nodes) {
			t.Errorf("%s: %+v", name, got)
		}
		if w.After != 5 || w.Paused || !slices.Equal(w.Nodes, []string{nodeB}) {
			t.Fatalf("%s: it was changed in place: %+v", name, w)
		}
	}
	many := Waits{Epoch: 2, Required: 1, Nodes: times(maxCounted, nodeB)}
	if got := many.Counts(nodeC); got != nil {
		t.Errorf("with one more than can be named it is %+v", got)
	}
	if got := w.Counts("b"); got != nil {
		t.Errorf("with one that has no id it is %+v", got)
	}
	paused := w.Pause()
	if again := paused.Pause(); again != paused {
		t.Errorf("what is paused is paused again: %+v", again)
	}
	var none *Waits
	if none.Counts(nodeB) != nil || none.Without(nodeB, 7) != nil || none.From(7) != nil || none.Pause() != nil {
		t.Error("something is known of nothing")
	}
}

// A chain is forgotten from a transaction on that the file has no more.
func TestWhatAChainForgets(t *testing.T) {
	if last := new(Chain).Last(); last != (Checkpoint{}) {
		t.Errorf("the last one of none is %+v", last)
	}
	for after, kept := range map[zodb.Tid]int{9: 0, 10: 1, 11: 2, 12: 3, 99: 3} {
		c := someChain(3)
		list := c.Checkpoints
		if c.Forget(after); len(c.Checkpoints) != kept || kept > 0 && c.Last() != list[kept-1] {
			t.Errorf("behind %v it keeps %+v", after, c)
		}
		c.Checkpoints = append(c.Checkpoints, Checkpoint{Tid: 50})
		if list[2].Tid != 12 {
			t.Errorf("behind %v: what others read was written over", after)
		}
	}
}
