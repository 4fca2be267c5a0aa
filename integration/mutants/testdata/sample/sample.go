// Package sample is changed by the test of the command: its test holds some of what it does.
package sample

// Calls counts what was asked.
var Calls int

// Clamp returns n, at most 10, and never less than zero.
func Clamp(n int) int {
	Calls++
	switch {
	case n > 10:
		return 10
	case n < 0 && !negative:
		return 0
	}
	return n
}

var negative bool

// Unused is called by no test.
func Unused(n int) int { return n + 1 }

// Greet says hello.
func Greet(name string) string { return "hello " + name }
