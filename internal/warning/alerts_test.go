package warning_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/warning"
)

// Each kind has an alert, or says why not, and the rules are those of the table.
func TestTheAlertRulesAreMadeFromTheTable(t *testing.T) {
	const path = "../../packaging/prometheus/zrsd.rules.yml"
	const mark = "      # from internal/warning/table.go: make generate\n"
	rules, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(rules), mark)
	want := before + mark + warning.AlertRules()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, string(rules)); diff != "" {
		t.Errorf("%s is not what the table says: run make generate\n%s", path, diff)
	}
}

// Who gets an alert finds its name in the runbook.
func TestEachAlertIsInTheRunbook(t *testing.T) {
	rules, err := os.ReadFile("../../packaging/prometheus/zrsd.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllSubmatch(rules, -1)
	if len(alerts) < 30 {
		t.Fatalf("only %d alerts were found", len(alerts))
	}
	for _, alert := range alerts {
		if !strings.Contains(string(page), "`"+string(alert[1])+"`") {
			t.Errorf("docs/runbook.md does not have %s", alert[1])
		}
	}
}
