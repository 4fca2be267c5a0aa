package plural_test

import (
	"testing"

	"github.com/zrsd/zrsd/internal/plural"
)

func TestOneThingIsNotSeveral(t *testing.T) {
	for got, want := range map[string]string{
		plural.Of(0, "object"):                                      "0 objects",
		plural.Of(1, "object"):                                      "1 object",
		plural.Of(int64(2), "object"):                               "2 objects",
		plural.Of(-1, "object"):                                     "-1 objects",
		plural.Or(uint64(1), "entry is wrong", "entries are wrong"): "1 entry is wrong",
		plural.Or(uint8(0), "entry is wrong", "entries are wrong"):  "0 entries are wrong",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
