package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/node/nodetest"
	"github.com/zrsd/zrsd/zodb"
)

// pack has a storage of the node packed as a command does.
func (r *running) pack(t *testing.T, storage string, req admin.PackRequest) (*admin.PackResult, error) {
	t.Helper()
	nobody := func([]byte, *admin.PackProgress) error { return nil }
	return admin.AskPack(t.Context(), r.control.Dial, storage, req, nobody)
}

// refused expects a refusal.
func refused(t *testing.T, err error, reason admin.Reason, text string) {
	t.Helper()
	var refusal *admin.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != reason || !strings.Contains(refusal.Text, text) {
		t.Errorf("got %v, want %s and %q", err, reason, text)
	}
}

func TestAnOwnedStorageIsPackedInItsProcess(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 5))
	r := s.run(t, func(ctx context.Context) error {
		cfg := s.config()
		cfg.PackNoGC, cfg.PackNoOld = true, true
		return runPrimary(ctx, PrimaryConfig{Config: cfg})
	})
	r.Await(t, "it is ready", nodetest.Ready)
	early, err := r.pack(t, "", admin.PackRequest{Until: time.Unix(0, 0)})
	if err != nil || early.Packed || early.Before != early.After || early.Objects != 1 {
		t.Errorf("until 1970: %+v, %v", early, err)
	}
	got, err := r.pack(t, "", admin.PackRequest{})
	if err != nil || !got.Packed || got.After >= got.Before || got.Objects != 1 || got.Duration <= 0 {
		t.Errorf("until now: %+v, %v", got, err)
	}
	st := r.Await(t, "it answers", nodetest.Ready)
	if st.Storage.Size != got.After {
		t.Errorf("the file has %d bytes, and %d were told", st.Storage.Size, got.After)
	}
	if p := st.Storage.LastPack; p == nil || p.Before != got.Before || p.After != got.After || !p.Packed {
		t.Errorf("the last pack is shown as %+v", p)
	}
	if _, err := s.disk.OpenFile("Data.fs.old", 0, 0); err == nil {
		t.Error("the old file is there although the configuration says no")
	}
	if again, err := r.pack(t, "", admin.PackRequest{}); err != nil || again.Packed || again.After != got.After {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	_, err = r.pack(t, "1", admin.PackRequest{})
	refused(t, err, admin.NoStorage, "has no name")
	_, err = r.pack(t, "", admin.PackRequest{Until: time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC)})
	refused(t, err, admin.Invalid, "1800")
	_, _, err = admin.AskClients(t.Context(), r.control.Dial, "")
	refused(t, err, admin.NotAllowed, "no ZEO clients")
}

func TestWhatACommandSaysCountsAboveTheConfiguration(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 5))
	r := s.primary(t)
	r.Await(t, "it is ready", nodetest.Ready)
	_, err := r.pack(t, "", admin.PackRequest{}) // collects garbage by default, and there is no root
	refused(t, err, admin.Failed, "the root")
	if _, err := r.pack(t, "", admin.PackRequest{GC: admin.Known(false), KeepOld: admin.Known(true)}); err != nil {
		t.Error(err)
	}
	old, err := s.disk.OpenFile("Data.fs.old", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
}

func TestAStorageOfSeveralIsPackedByItsNameAndItsClientsAreTold(t *testing.T) {
	front := newCounter()
	front.clients = []admin.Client{
		{Doing: "idle", Storage: admin.Known("one")},
		{Doing: "idle", Storage: admin.Known("two")},
		{Doing: "connecting"},
	}
	p, site := sample(t, front)
	r := site.run(t, func(ctx context.Context) error { return Serve(ctx, p) })
	r.Await(t, "all are ready", nodetest.Ready)
	no := admin.PackRequest{GC: admin.Known(false)}
	_, err := r.pack(t, "", no)
	refused(t, err, admin.Invalid, `there are several storages: name one of ["one" "two" "three"] with --storage`)
	_, err = r.pack(t, "four", no)
	refused(t, err, admin.NoStorage, `there are ["one" "two" "three"]`)
	for _, name := range []string{"one", "two", "three"} { // a secondary is packed by itself, as with zc.zrs
		if got, err := r.pack(t, name, no); err != nil || !got.Packed {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if told := <-front.resized; told != name {
			t.Errorf("clients of %s were told of the pack of %s", told, name)
		}
	}
	for name, want := range map[string]int{"": 3, "two": 1, "three": 0} {
		_, doc, err := admin.AskClients(t.Context(), r.control.Dial, name)
		if err != nil || len(doc.Clients) != want {
			t.Errorf("clients of %q: %+v, %v", name, doc, err)
		}
	}
	_, _, err = admin.AskClients(t.Context(), r.control.Dial, "four")
	refused(t, err, admin.NoStorage, "there is no storage of that name")
}

func TestAStorageThatIsNotToBeWrittenIsNotPacked(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 2))
	alone := &StandaloneConfig{Config: Config{FS: s.disk, Data: "Data.fs"}, ReadOnly: true}
	r := s.run(t, func(ctx context.Context) error {
		return Serve(
			ctx,
			Process{Shared: Config{Admin: s.control}, Storages: []Storage{{Name: "1", Standalone: alone}}},
		)
	})
	r.Await(t, "it is ready", nodetest.Ready)
	_, err := r.pack(t, "1", admin.PackRequest{})
	refused(t, err, admin.NotAllowed, "for reading only")
}

func TestAnAttachedStorageIsListedAndNotPacked(t *testing.T) {
	s := newSite(t, nodetest.DiskWith(t, 3))
	r := s.run(t, func(ctx context.Context) error {
		return runPrimary(ctx, PrimaryConfig{Config: s.config(), Attach: true})
	})
	r.Await(t, "it is ready", nodetest.Ready)
	_, err := r.pack(t, "", admin.PackRequest{})
	refused(t, err, admin.NotAllowed, "pack it there")
	_, doc, err := admin.AskUndoLog(t.Context(), r.control.Dial, "", admin.UndoQuery{Count: 10})
	if err != nil || len(doc.Transactions) != 3 {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestOnlyOnePackAtATime(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: nodetest.DiskWith(t, 5)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	c := &Config{}
	c.fill()
	remove := c.handle.put(st)
	no := admin.PackRequest{GC: admin.Known(false)}
	asked := false
	_, err = c.pack(t.Context(), no, "a test", func(admin.PackProgress) {
		if !asked {
			asked = true
			_, err := c.pack(t.Context(), no, "a test", nil)
			refused(t, err, admin.Busy, "already running")
		}
	})
	if err != nil || !asked {
		t.Errorf("the first pack: %v; a second one was tried: %v", err, asked)
	}
	remove()
	_, err = c.pack(t.Context(), no, "a test", nil)
	refused(t, err, admin.Unavailable, "not open")
}

func TestCommandsEndBeforeTheirStorageCloses(t *testing.T) {
	d := new(storageHandle)
	remove := d.put(&filestorage.Storage{})
	working, ended := make(chan struct{}), make(chan error, 1)
	over := false
	go func() {
		ended <- d.use(t.Context(), func(ctx context.Context, _ undoLister) error {
			close(working)
			<-ctx.Done()
			over = true
			return errors.New("interrupted")
		})
	}()
	<-working
	remove()
	if !over {
		t.Error("the storage may close while a command uses it")
	}
	refused(t, <-ended, admin.Unavailable, "the storage is closing")
}

func TestUndoLogIsFilteredNumberedAndBounded(t *testing.T) {
	disk := nodetest.DiskWith(t, 5)
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	long := strings.Repeat("é", admin.MaxUndoText) + "\xff"
	txn, err := st.Begin(t.Context(), &zodb.TxnMeta{User: []byte("/ \xffadmin"), Description: []byte(long)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    admin.UndoQuery
		want []string
	}{
		{admin.UndoQuery{First: 1, Count: 2}, []string{"transaction 4", "transaction 3"}},
		{admin.UndoQuery{Count: 9, Description: "tion 1"}, []string{"transaction 1"}},
		{admin.UndoQuery{First: 1, Count: 2, Description: "tran"}, []string{"transaction 3", "transaction 2"}},
		{admin.UndoQuery{Count: 9, User: "nobody"}, nil},
	} {
		list, err := UndoLog(t.Context(), st, c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			got = append(got, e.Description)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v: %s", c.q, diff)
		}
	}
	list, err := UndoLog(t.Context(), st, admin.UndoQuery{Count: 1, User: "admin"})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	e := list[0]
	if e.User != "/ \uFFFDadmin" || len(e.Description) > admin.MaxUndoText || !utf8.ValidString(e.Description) ||
		!strings.HasSuffix(e.Description, "é…") || e.Tid != st.LastTid() || e.ID == "" || e.Time != e.Tid.Time().UTC() {
		t.Errorf("%+v", e)
	}
}

func TestAPackThatHasNoRoomSaysWhatToDo(t *testing.T) {
	disk := nodetest.DiskWith(t, 5)
	s := newSite(t, disk)
	r := s.primary(t)
	r.Await(t, "it is ready", nodetest.Ready)
	disk.SetCapacity(1 << 20)
	_, err := r.pack(t, "", admin.PackRequest{GC: admin.Known(false)})
	refused(t, err, admin.Failed, "free some space, for example remove Data.fs.old")
}
