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
			"          description: %q\n          runbook: %q\n", k.Severity,
			"{{ $labels.instance }}{{ with $labels.storage }} ({{ . }}){{ end }}: "+k.Title,
			k.description(), k.runbookAnchor())
	}
	return b.String()
}

// AlertTests returns the tests of these rules for promtool. Each alert fires when its warning holds, not before, and no
// longer than it does.
func AlertTests() string {
	var b strings.Builder
	for i := range Table {
		k := &Table[i]
		if k.NoAlert != "" {
			continue
		}
		quiet, fires := "30s", "1m"
		if lasts(k.Severity) > 0 {
			quiet, fires = "90s", "2m"
		}
		fmt.Fprintf(&b, "  - interval: 30s\n    input_series:\n      - {series: 'zrsd_warnings{instance=\"db1\", "+
			"code=%q, severity=%q}', values: '0x1 1x5 0x3'}\n    alert_rule_test:\n", k.Code, k.Severity)
		for _, at := range []string{quiet, "4m"} {
			fmt.Fprintf(&b, "      - {eval_time: %s, alertname: %s}\n", at, k.AlertName())
		}
		fmt.Fprintf(&b, "      - eval_time: %s\n        alertname: %s\n        exp_alerts:\n          - exp_labels: "+
			"{severity: %s, instance: db1, code: %s}\n            exp_annotations:\n              summary: %q\n"+
			"              description: %q\n              runbook: %q\n", fires, k.AlertName(), k.Severity, k.Code,
			"db1: "+k.Title, k.description(), k.runbookAnchor())
	}
	return b.String()
}

func (k *Kind) description() string { return k.Means + " What to do: " + k.Cure + "." }

func (k *Kind) runbookAnchor() string { return "docs/runbook.md#" + string(k.Code) }

// lasts is for how long a warning must be seen by Prometheus. It has lasted for a while before it is one, so that this
// is for a scrape that is missed.
func lasts(s Severity) time.Duration {
	if s == Critical {
		return 0
	}
	return time.Minute
}
