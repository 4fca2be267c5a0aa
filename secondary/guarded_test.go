package secondary

import (
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/zodb"
)

// A fallen has a fault that shows at the first record, or at once.
type fallen struct{ at string }

func (f fallen) Next() (zodb.Transaction, error) {
	if f.at == "transaction" {
		panic(f.at)
	}
	return fallenTxn{}, nil
}

type fallenTxn struct{ zodb.Transaction }

func (fallenTxn) NextRecord() (*zodb.Record, error) { panic("record") }

func TestAPanicOverWhatThePrimarySendsEndsTheStreamOnly(t *testing.T) {
	for _, at := range []string{"transaction", "record"} {
		txn, err := guarded{fallen{at}, hclog.NewNullLogger()}.Next()
		if at == "record" {
			_, err = txn.NextRecord()
		}
		var fault *recovered.Error
		if !errors.As(err, &fault) || fault.Value != at {
			t.Errorf("%s: %v", at, err)
		}
		if !ofStream(err) {
			t.Errorf("%s: the storage is blamed", at)
		}
	}
}
