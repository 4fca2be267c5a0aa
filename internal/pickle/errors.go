package pickle

import "fmt"

// A syntaxError says that something is not a pickle, or not one that is read here.
type syntaxError struct {
	offset int // of the opcode, from the beginning of the pickle
	text   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("pickle: offset %d: %s", e.offset, e.text) }

// A LimitError says that a pickle exceeds a limit, in being read or in being written.
type LimitError struct {
	What string // "bytes", "values" or "nesting"
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("pickle: more %s than the %d that are allowed", e.What, e.Max)
}

// A TypeError says that a Value cannot be written.
type TypeError struct{ Value Value }

func (e *TypeError) Error() string { return fmt.Sprintf("pickle: cannot write a %T", e.Value) }

// Limits bound Load and Dump. Zero values mean the defaults.
type Limits struct {
	Bytes   int // of the pickle; default 64 MiB
	Values  int // that Load makes and remembers; default 1 million
	Nesting int // of containers in containers; default 200

	// Global says which classes Load takes; nil: all. With it, there are no Extensions and no Persistents either.
	Global func(Global) bool
}

func (l Limits) withDefaults() Limits {
	orElse := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	orElse(&l.Bytes, 64<<20)
	orElse(&l.Values, 1_000_000)
	orElse(&l.Nesting, 200)
	return l
}
