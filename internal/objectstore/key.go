package objectstore

import (
	"fmt"
	"strings"
)

const (
	maxKey  = 900 // bytes; stores take 1,024, prefix included
	maxPart = 200 // of a key, for it may be the name of a file
)

// checkKey refuses what would not be the same key everywhere, or lead out of a directory. Parts between slashes have
// letters, digits and _.=+@-, and begin with no dot.
func checkKey(key string) error {
	if len(key) > maxKey {
		return fmt.Errorf("%w: key %.40q… has more than %d bytes", ErrRefused, key, maxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || len(part) > maxPart || strings.IndexFunc(part, isOdd) >= 0 {
			return fmt.Errorf("%w: part %.40q of key %q: use 1 to %d letters, digits and _.=+@-, and no dot first",
				ErrRefused, part, key, maxPart)
		}
	}
	return nil
}

func isOdd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_.=+@-", r)
}
