package workload

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// Class is that of the objects. No application has it, so nobody resolves their conflicts.
var Class = pickle.Global{Module: "zrsd.drill", Name: "Register"}

var limits = pickle.Limits{Bytes: 1 << 16}

// record makes the record of a value.
func record(value string) ([]byte, error) { return pickle.DumpRecord(Class, value, limits) }

// value returns the value in a record, and whether it is one of a drill.
func value(record []byte) (value string, ours bool) {
	class, state, err := pickle.LoadRecord(record, limits)
	if err != nil || class != pickle.Value(Class) {
		return "", false
	}
	value, ours = state.(string)
	return value, ours
}

// valueOf is value for what should be one.
func valueOf(oid zodb.Oid, record []byte) (string, error) {
	value, ours := value(record)
	if !ours {
		return "", fmt.Errorf("oid %v has a record that is none of this drill: %.100q", oid, record)
	}
	return value, nil
}
