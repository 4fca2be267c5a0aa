package warning_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/zrsd/zrsd/internal/warning"
)

const (
	rulesPath = "../../packaging/prometheus/zrsd.rules.yml"
	testsPath = "../../packaging/prometheus/zrsd.rules.test.yml"
)

// Each kind has an alert, or says why not. The rules, and their tests, are those of the table.
func TestTheAlertRulesAreMadeFromTheTable(t *testing.T) {
	madeFromTheTable(t, rulesPath, "      # from internal/warning/table.go: make generate\n", warning.AlertRules())
	madeFromTheTable(t, testsPath, "  # from internal/warning/table.go: make generate\n", warning.AlertTests())
}

// madeFromTheTable compares what follows a mark in a file, or writes it with -update.
func madeFromTheTable(t *testing.T, path, mark, made string) {
	t.Helper()
	before, _, _ := strings.Cut(read(t, path), mark)
	want := before + mark + made
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("%s is not what the table says: run make generate\n%s", path, diff)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alertNames returns the names of all alert rules.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read(t, rulesPath), -1) {
		names = append(names, found[1])
	}
	if len(names) < 30 {
		t.Fatalf("only %d alerts were found", len(names))
	}
	return names
}

// An alert that never fires, and one that always does, are both noticed by make alerts.
func TestEachAlertHasACaseInWhichItFiresAndOneInWhichItDoesNot(t *testing.T) {
	var file struct {
		Tests []struct {
			Rules []struct {
				Alert  string `yaml:"alertname"`
				Expect []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, testsPath)), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, rule := range test.Rules {
			if len(rule.Expect) > 0 {
				fires[rule.Alert] = true
			} else {
				quiet[rule.Alert] = true
			}
		}
	}
	for _, name := range alertNames(t) {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: there is a case in which it fires: %v, in which it does not: %v", name, fires[name],
				quiet[name])
		}
	}
}

// Who gets an alert finds its name in the runbook.
func TestEachAlertIsInTheRunbook(t *testing.T) {
	page := read(t, "../../docs/runbook.md")
	for _, name := range alertNames(t) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/runbook.md does not have %s", name)
		}
	}
}
