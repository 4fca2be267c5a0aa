package heal

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/plural"
)

// String returns one line for people.
func (i *Item) String() string {
	text := fmt.Sprintf("%s: %s", i.Result, i.What)
	if i.What == "data" {
		text += fmt.Sprintf(" at %d", i.Offset)
	}
	if i.Tid != nil {
		text += fmt.Sprintf(" tid %v", *i.Tid)
	}
	if i.Oid != nil {
		text += fmt.Sprintf(" oid %v", *i.Oid)
	}
	if i.Length > 0 && i.Peer != nil {
		text += fmt.Sprintf(", %d bytes from %s", i.Length, *i.Peer)
	}
	if !i.Evidence && i.Result != Sound {
		text += ", of which no digest was noted"
	}
	text += ": " + i.Found
	if i.Error != nil {
		text += "; " + *i.Error
	}
	return text
}

// Text returns what people read of a report.
func (r *Report) Text() string {
	verdict := "no damage"
	switch {
	case r.Damages > 0:
		verdict = "DAMAGED in " + plural.Of(r.Damages, "place")
	case r.Dry && r.Found > r.Sound:
		verdict = "DAMAGED"
	}
	healed := "healed"
	if r.Dry {
		healed = "would be healed"
	}
	return fmt.Sprintf("%s: %s: %s looked at, %d %s, %d failed, %d were right; %d kept in quarantine", r.Path,
		verdict, plural.Of(r.Found, "part"), r.Healed, healed, r.Failed, r.Sound, r.Quarantined)
}
