package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// moments serves moments of an open storage to a front that counts.
func moments(t *testing.T, st *filestorage.Storage, specs ...string) (front *counter, c *Config) {
	t.Helper()
	front, c = newCounter(), &Config{Data: "Data.fs"}
	c.fill()
	c.front = front
	for _, text := range specs {
		at, err := moment.Parse(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		c.Moments = append(c.Moments, MomentConfig{Name: text, At: at})
	}
	t.Cleanup(c.serveMoments(st, zeo.StorageOptions{}))
	return front, c
}

func (c *counter) moment(name string) *filestorage.Moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offers[name] == nil {
		return nil
	}
	return c.options[name].Moment
}

func store(t *testing.T, st *filestorage.Storage, text string) zodb.Tid {
	t.Helper()
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := st.GetTid(0)
	if err := txn.Store(0, serial, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return txn.Tid()
}

// A moment that is a time of day moves on at that time, to the last transaction of before, and at no other time.
func TestAMomentMovesOnWithTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		store(t, st, "first") // at midnight
		front, c := moments(t, st, "each day at 06:00")
		<-front.changed
		if m := front.moment("each day at 06:00"); m == nil || m.Tid != 0 {
			t.Fatalf("before the first transaction it is %+v", m)
		}
		pause.For(t.Context(), 5*time.Hour)
		store(t, st, "second")
		last := store(t, st, "third")
		synctest.Wait()
		if len(front.steps) != 0 {
			t.Errorf("it moved at 05:00, to %+v", <-front.steps)
		}
		pause.For(t.Context(), 2*time.Hour)
		store(t, st, "fourth") // at 07:00
		synctest.Wait()
		if m := <-front.steps; m.Tid != last || m.Len != 1 || len(front.steps) != 0 {
			t.Errorf("at 06:00 it moved to %+v, want %v", m, last)
		}
		var shown admin.Status
		c.showMoments(&shown)
		if len(shown.AsOf) != 1 || shown.AsOf[0].Tid == nil || *shown.AsOf[0].Tid != last {
			t.Errorf("the status has %+v", shown.AsOf)
		}
	})
}

// A pack removes old revisions. A moment that it leaves in the file goes on in the new one; one that it does not
// leave ends, and says why.
func TestAMomentLivesThroughAPackOrEndsInWords(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: nodetest.DiskWith(t, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	early := store(t, st, "one")
	middle := store(t, st, "two")
	late := store(t, st, "three")
	front, c := moments(t, st, early.String(), late.String())
	<-front.changed
	<-front.changed
	store(t, st, "four")
	r, err := st.Pack(t.Context(), middle, filestorage.PackOptions{})
	if err != nil || !r.Packed {
		t.Fatal(r, err)
	}
	if why := <-front.ends; !strings.Contains(why.Error(), "was packed to transaction") {
		t.Errorf("it ended with %v", why)
	}
	if m := <-front.steps; m.Tid != late || m.Size >= st.Size() {
		t.Errorf("the later moment is %+v in the new file, want %v", m, late)
	}
	if front.moment(early.String()) != nil || front.moment(late.String()) == nil {
		t.Error("the wrong moment was taken from clients")
	}
	var shown admin.Status
	c.showMoments(&shown)
	for _, m := range shown.AsOf {
		if (m.Error != nil) != (m.Name == early.String()) {
			t.Errorf("the status has %+v", m)
		}
	}
}

// A moment that the storage has not reached yet, as on a secondary that is behind, is what it has of it, and grows.
func TestAMomentThatIsNotReachedYetGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		one := store(t, st, "one")
		until := one + 5000
		front, _ := moments(t, st, until.String())
		<-front.changed
		if m := front.moment(until.String()); m == nil || m.Tid != one {
			t.Fatalf("it is %+v, want %v", m, one)
		}
		two := store(t, st, "two") // the clock stands still: the next tid
		if m := <-front.steps; m.Tid != two {
			t.Errorf("it grew to %+v, want %v", m, two)
		}
		pause.For(t.Context(), time.Hour)
		store(t, st, "three")
		pause.For(t.Context(), time.Hour)
		if len(front.steps) != 0 {
			t.Errorf("it moved past its end, to %+v", <-front.steps)
		}
	})
}

// A process that serves nothing but a moment does not give out the storage as it is.
func TestAProcessMayServeAMomentOnly(t *testing.T) {
	front := newCounter()
	disk := nodetest.DiskWith(t, 3)
	spec, err := moment.Parse("1h ago", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	p := Process{front: front, Storages: []Storage{{Name: "1", Standalone: &StandaloneConfig{
		Config:   Config{FS: disk, Data: "Data.fs", Moments: []MomentConfig{{Name: "1", At: spec}}},
		ReadOnly: true, OnlyMoments: true,
	}}}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, p) }()
	<-front.changed
	if m := front.moment("1"); m == nil || m.Tid != 0 {
		t.Errorf("an hour ago it was %+v", m)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.Storages[0].Standalone.Moments = append(p.Storages[0].Standalone.Moments, MomentConfig{Name: "1", At: spec})
	var wrong *ConfigError
	if err := Check(p); !errors.As(err, &wrong) {
		t.Errorf("two storages of one name: %v", err)
	}
}
