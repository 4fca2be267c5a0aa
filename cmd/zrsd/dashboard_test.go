package main

import (
	"regexp"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
)

// Dashboard and alert rules name metrics that there are.
func TestTheMetricsOfDashboardAndAlertsExist(t *testing.T) {
	names := append(admin.MetricNames(), "zrsd_panics_recovered_total")
	for _, path := range []string{"../../packaging/grafana/zrsd.json", "../../packaging/prometheus/zrsd.rules.yml"} {
		found := regexp.MustCompile(`zrsd_[a-z_]+`).FindAllString(readText(t, path), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics", path, len(found))
		}
		for _, name := range found {
			if !slices.Contains(names, name) {
				t.Errorf("%s has %s, which there is not", path, name)
			}
		}
	}
}
