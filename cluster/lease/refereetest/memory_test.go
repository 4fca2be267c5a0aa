package refereetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/refereetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	refereetest.Contract(t, func(*testing.T) func() referee.Referee {
		m := new(refereetest.Memory)
		return func() referee.Referee { return m }
	})
}
