package zeoload

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

func TestQuantilesOfAnOutcome(t *testing.T) {
	o := &Outcome{Took: 2 * time.Second, Latencies: []time.Duration{1, 2, 3, 4}}
	if got := [3]time.Duration{o.Quantile(0), o.Quantile(0.5), o.Quantile(1)}; got != [3]time.Duration{1, 3, 4} {
		t.Errorf("quantiles 0, 0.5, 1 of 1 to 4: %v", got)
	}
	if got := o.PerSecond(); got != 2 {
		t.Errorf("4 operations in 2 s: %v/s", got)
	}
	if got := new(Outcome).Quantile(0.5); got != 0 {
		t.Errorf("a quantile of nothing: %v", got)
	}
}

func TestOneFailureEndsTheRunOfAll(t *testing.T) {
	ctx := within(t)
	failed := errors.New("this one fails")
	_, err := play(ctx, start(t).clients(ctx, t, 3), func(ctx context.Context, c *client.Conn, i int) (
		[]time.Duration, error,
	) {
		if i == 1 {
			return nil, failed
		}
		for { // no call fails before the context has ended
			if _, err := c.LastTransaction(ctx); err != nil {
				return nil, err
			}
		}
	})
	if !errors.Is(err, failed) {
		t.Errorf("the run ends with %v", err)
	}
}

func TestLoadsFindEveryObject(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		const objects = 20
		set := workload.Set{Transactions: 2, Records: objects / 2, RecordSize: 500}
		if err := workload.Fill(ctx, s.storage, set, 1); err != nil {
			t.Fatal(err)
		}
		o, err := Loads(ctx, s.clients(ctx, t, 3), objects, 4, time.Millisecond)
		if err != nil || len(o.Latencies) < 3*4 {
			t.Errorf("%d loads, %v", len(o.Latencies), err)
		}
		var missing *zodb.POSKeyError
		_, err = Loads(ctx, s.clients(ctx, t, 1), 100*objects, 50, time.Millisecond)
		if !errors.As(err, &missing) {
			t.Errorf("objects that do not exist were loaded: %v", err)
		}
	})
}
