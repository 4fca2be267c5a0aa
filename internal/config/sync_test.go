package config

import (
	"slices"
	"testing"
	"time"
)

func TestForHowManyCommitsWait(t *testing.T) {
	for text, want := range map[string]Quorum{
		"0": {}, "2": {Required: 2}, "1 of db2,db3": {1, []string{"db2", "db3"}},
		"2 of  a b , c": {2, []string{"a b", "c"}},
	} {
		got, err := readQuorum(text)
		if err != nil || got.Required != want.Required || !slices.Equal(got.Names, want.Names) {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "all", "1 of ", "1 of a,,b", "2 of a", "1 a"} {
		if got, err := readQuorum(text); err == nil {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}

func TestHowLongCommitsWait(t *testing.T) {
	for text, want := range map[string]Patience{
		"10s": {10 * time.Second, false}, "1m block": {time.Minute, false}, "3s degrade": {3 * time.Second, true},
	} {
		if got, err := readPatience(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "degrade", "0s", "3s give-up", "3s block degrade"} {
		if got, err := readPatience(text); err == nil {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}
