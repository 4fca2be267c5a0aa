package zeo

import (
	"context"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// A load that meets damage is answered when it is known what has to be there, or fails. Meanwhile other loads of the
// same client are answered, and what comes between is in order: the answer says what is current then.
func TestALoadThatMeetsDamageWaitsBesideTheOthers(t *testing.T) {
	disk := simdisk.New()
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	asked, known := make(chan error, 1), make(chan bool)
	s := offer(t, st, Options{}, StorageOptions{Correct: func(_ context.Context, damage error) bool {
		asked <- damage
		if !<-known {
			return false
		}
		st.SetDamaged(st.Edition(), nil)
		return true
	}})
	defer s.stop()
	writer, _ := s.register(t)
	first := writer.commit(1, 0, "damaged")
	damaged := []filestorage.Part{{From: 4, To: st.Size()}}
	writer.commit(2, 0, "right")
	reader, _ := s.register(t)

	st.SetDamaged(st.Edition(), damaged)
	id := reader.send(0, "loadBefore", oidValue(1), tidValue(maxTid))
	if err := <-asked; filestorage.DamageIn(err) == nil {
		t.Errorf("asked for %v", err)
	}
	reader.current(2)
	next := writer.commit(1, first, "newer")
	known <- true
	if got, ok := reader.answer(id).Args.(pickle.Tuple); !ok || len(got) != 3 || tidIn(t, got[1]) != next {
		t.Errorf("got %#v, want what is current now", got)
	}

	st.SetDamaged(st.Edition(), damaged)
	id = reader.send(0, "loadSerial", oidValue(1), tidValue(first))
	<-asked
	known <- false
	if m := reader.answer(id); m.Flag == 0 {
		t.Errorf("got %+v, want an error", m)
	}
	reader.current(2)
}

// No more than half of what may be answered beside a connection waits for damage: then the next one fails at once.
func TestLoadsOfDamageAreBounded(t *testing.T) {
	st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	asked, known := make(chan struct{}, maxBackground), make(chan struct{})
	s := offer(t, st, Options{}, StorageOptions{Correct: func(context.Context, error) bool {
		asked <- struct{}{}
		<-known
		return false
	}})
	defer s.stop()
	writer, _ := s.register(t)
	writer.commit(1, 0, "damaged")
	st.SetDamaged(st.Edition(), []filestorage.Part{{From: 4, To: st.Size()}})
	reader, _ := s.register(t)
	for range maxBackground / 2 {
		reader.send(0, "loadBefore", oidValue(1), tidValue(maxTid))
	}
	for range maxBackground / 2 {
		<-asked
	}
	reader.refused(classStorage, "loadBefore", oidValue(1), tidValue(maxTid))
	close(known)
}
