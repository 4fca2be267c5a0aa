// Package plural writes numbers of things for people: 1 object, 2 objects.
package plural

import "fmt"

// An Integer is any integer.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Of returns how many there are of what is called one, and several with an s behind it.
func Of[N Integer](n N, one string) string { return Or(n, one, one+"s") }

// Or is Of for words that end otherwise, and for whole phrases: 1 entry is wrong, 2 entries are wrong.
func Or[N Integer](n N, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}
