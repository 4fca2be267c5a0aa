package warning

import (
	"fmt"
	"strings"
	"time"
)

// AlertName is how the alert for a kind is called.
func (k *Kind) AlertName() string {
	var name strings.Builder
	name.WriteString("Zrsd")
	for part := range strings.SplitSeq(string(k.Code), "_") {
		switch part {
		case "zeo":
			name.WriteString("ZEO")
		default:
			name.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return name.String()
}

// Runbook returns the entry of a kind in docs/runbook.md.
func (k *Kind) Runbook() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### `%s`\n\n%s *(%s", k.Code, k.Title, k.Severity)
	switch {
	case k.Event:
		b.WriteString(", in the log")
	case k.Doctor:
		b.WriteString(", `zrsd doctor`")
	case k.After > 0:
		fmt.Fprintf(&b, ", when it has lasted for %s", span(k.After))
	}
	fmt.Fprintf(&b, ")*\n\n- **What follows:** %s\n- **What to do:** %s.\n", escaped(k.Means), escaped(k.Cure))
	if k.NoAlert == "" {
		fmt.Fprintf(&b, "- **Alert:** `%s`\n", k.AlertName())
	} else {
		fmt.Fprintf(&b, "- **Alert:** none, because %s.\n", k.NoAlert)
	}
	return b.String()
}

// escaped keeps what looks like a tag of HTML.
func escaped(s string) string {
	return strings.NewReplacer("<", `\<`).Replace(s)
}

func span(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
