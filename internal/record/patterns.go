package record

import (
	"fmt"
	"path"
)

// ClassPatterns choose classes: module.name with the wildcards of package path. None choose all.
type ClassPatterns []string

// Check reports a pattern that is none.
func (p ClassPatterns) Check() error {
	for _, pattern := range p {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("class %q: %w: write module.name, with * for any text", pattern, err)
		}
	}
	return nil
}

// Match reports whether a class is chosen.
func (p ClassPatterns) Match(class string) bool {
	for _, pattern := range p {
		if ok, _ := path.Match(pattern, class); ok {
			return true
		}
	}
	return len(p) == 0
}
