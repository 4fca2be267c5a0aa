package warning

import (
	"fmt"
	"strings"
	"time"
)

// AlertRules returns rules for Prometheus, one for each kind that has an alert. The alerts say which node it is, and
// /status has the values.
func AlertRules() string {
	var b strings.Builder
	for i := range Table {
		k := &Table[i]
		if k.NoAlert != "" {
			continue
		}
		fmt.Fprintf(&b, "      - alert: %s\n        expr: zrsd_warnings{code=%q} > 0\n        for: %s\n", k.AlertName(),
			k.Code, lasts(k.Severity))
		fmt.Fprintf(&b, "        labels: {severity: %s}\n        annotations:\n          summary: %q\n"+
			"          description: %q\n          runbook: %q\n", k.Severity, "{{ $labels.instance }}: "+k.Title,
			k.Means+" What to do: "+k.Cure+".", "docs/runbook.md#"+string(k.Code))
	}
	return b.String()
}

// lasts is for how long a warning must be seen by Prometheus. It has lasted for a while before it is one, so that this
// is for a scrape that is missed.
func lasts(s Severity) time.Duration {
	if s == Critical {
		return 0
	}
	return time.Minute
}
