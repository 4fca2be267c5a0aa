package cluster

import (
	"strings"
	"testing"
)

func TestImpossibleRulesForWaitingAreRefused(t *testing.T) {
	for want, c := range map[string]SyncConfig{
		"give 0 or more":           {Required: -1},
		"without --sync-secondari": {Names: []string{"a"}},
		"would wait forever":       {Required: 2, Names: []string{"a"}},
		"give durable or applied":  {Required: 1, Ack: "sent"},
		"give block or degrade":    {Required: 1, OnTimeout: "lie"},
		"above zero":               {Required: 1, Timeout: -1},
		"there twice":              {Required: 1, Names: []string{"a", "a"}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", c, err, want)
		}
	}
}
