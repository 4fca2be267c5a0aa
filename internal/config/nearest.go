package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown says that there is no such key or section, and what to do.
func unknown(what, name, where string, known []string, gone map[string]string) string {
	if instead, found := gone[name]; found {
		return fmt.Sprintf("%s: %s", name, instead)
	}
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("there is no %s %s %s: did you mean %s?", what, name, where, near)
	}
	if what == "key" {
		var homes []string
		for _, t := range tables {
			if t.entry(name) != nil && t.typ != "runner" {
				homes = append(homes, "<"+t.typ+">")
			}
		}
		if homes != nil {
			return fmt.Sprintf("there is no key %s %s: it belongs into %s", name, where, strings.Join(homes, " or "))
		}
	}
	if len(known) == 0 {
		return fmt.Sprintf("there is no %s %s %s: it has none", what, name, where)
	}
	return fmt.Sprintf("there is no %s %s %s: known are %s", what, name, where, strings.Join(known, ", "))
}

func keyNames(t *table) (names []string) {
	for _, e := range t.keys {
		names = append(names, e.name)
	}
	return names
}

// nearest returns the name that takes the fewest changes of a letter, if they are few.
func nearest(name string, known []string) (best string) {
	if len(name) > 64 {
		return ""
	}
	limit := 1 + len(name)/4
	for _, k := range known {
		if d := distance(name, k); d <= limit {
			best, limit = k, d-1
		}
	}
	return best
}

// distance counts the letters to insert, remove or change, by the rows of the usual matrix.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, before[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
