package leasetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/leasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	leasetest.Contract(t, func(*testing.T) func() lease.Coordinator {
		m := new(leasetest.Memory)
		return func() lease.Coordinator { return m }
	})
}
