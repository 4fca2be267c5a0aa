package secondary

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

var (
	errCut    = errors.New("cut")
	errFinal  = fmt.Errorf("handshake: %w", &protocol.Refusal{Code: protocol.CodeAhead, Text: "ahead"})
	errOther  = fmt.Errorf("handshake: %w", &protocol.Refusal{Code: protocol.CodeWrongStorage, Text: "wrong"})
	errBusy   = fmt.Errorf("handshake: %w", &protocol.Refusal{Code: protocol.CodeTooMany, Text: "busy"})
	errNoRoom = &localError{errors.New("no space left on device")}
)

func paceOf(addresses ...string) *reconnectDelay {
	return newPace(Options{Addresses: addresses, MinBackoff: 200 * time.Millisecond, MaxBackoff: 60 * time.Second})
}

// within reports whether d is base, shortened or lengthened by at most the spread.
func within(d, base time.Duration) bool {
	return d >= base/2 && d <= base*3/2
}

func TestWaitsDoubleUpToTheMaximum(t *testing.T) {
	p := paceOf("a")
	base := 200 * time.Millisecond
	for try := range 40 {
		d, _ := p.failed(errCut, false)
		if !within(d, base) || d > 60*time.Second {
			t.Fatalf("try %d: waited %v, want %v give or take a half, never above 1m", try, d, base)
		}
		base = min(2*base, 40*time.Second)
	}
}

func TestWaitsAreNotTheSameForEverybody(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 20 {
		d, _ := paceOf("a").failed(errCut, false)
		seen[d] = true
	}
	if len(seen) < 2 {
		t.Error("no jitter")
	}
}

func TestOnlyProgressBeginsTheBackoffAnew(t *testing.T) {
	p := paceOf("a")
	for range 10 {
		p.failed(errCut, false)
	}
	if d, _ := p.failed(errCut, false); d < 10*time.Second {
		t.Errorf("after 11 failures: %v", d)
	}
	if d, _ := p.failed(errCut, true); !within(d, 200*time.Millisecond) {
		t.Errorf("after progress: %v", d)
	}
}

func TestARefusalIsBelievedWhenItIsRepeated(t *testing.T) {
	p := paceOf("a")
	for i, step := range []struct {
		err     error
		longest bool
	}{
		{errFinal, false}, {errFinal, true}, {errFinal, true}, {errOther, false}, {errOther, true},
		{errBusy, false}, {errBusy, false}, {errNoRoom, false}, {errNoRoom, false}, {errFinal, false}, {errFinal, true},
	} {
		if d, _ := p.failed(step.err, false); (d == 60*time.Second) != step.longest {
			t.Errorf("step %d, %v: waits %v", i, step.err, d)
		}
	}
}

func TestAllAddressesAreTriedBeforeAWait(t *testing.T) {
	p := paceOf("a", "b", "c")
	var order string
	for i := range 7 {
		order += p.address()
		d, _ := p.failed(errCut, false)
		if (d == 0) != (i%3 != 2) {
			t.Errorf("after try %d: waits %v", i, d)
		}
	}
	if order != "abcabca" {
		t.Errorf("order %s", order)
	}
}

func TestAfterProgressTheSamePrimaryIsTriedFirst(t *testing.T) {
	p := paceOf("a", "b")
	p.failed(errCut, false)
	if d, _ := p.failed(errCut, true); p.address() != "b" || d == 0 {
		t.Errorf("next is %s in %v", p.address(), d)
	}
	if d, _ := p.failed(errCut, false); p.address() != "a" || d != 0 {
		t.Errorf("then %s in %v", p.address(), d)
	}
}

func TestOneHopefulAddressKeepsTheRoundsShort(t *testing.T) {
	p := paceOf("a", "b")
	for range 3 {
		p.failed(errFinal, false)
		if d, _ := p.failed(errCut, false); d == 60*time.Second {
			t.Error("waits for an operator although b may come back by itself")
		}
	}
}

func TestOnlyAChangedErrorIsNews(t *testing.T) {
	p := paceOf("a", "b")
	for i, step := range []struct {
		err      error
		progress bool
		news     bool
	}{
		{errCut, false, true}, {errFinal, false, true}, // a, b
		{errCut, false, false}, {errFinal, false, false},
		{errCut, false, false}, {errOther, false, true},
		{errCut, true, true}, {errCut, false, false},
	} {
		if _, news := p.failed(step.err, step.progress); news != step.news {
			t.Errorf("step %d: news %v", i, news)
		}
	}
}

func TestWhatAnErrorMeans(t *testing.T) {
	for _, c := range []struct {
		err   error
		state State
		final bool
	}{
		{errCut, StateWaiting, false},
		{errSilent, StateWaiting, false},
		{&goodbyeError{"shutting down"}, StateWaiting, false},
		{&protocol.DigestError{Tid: 1}, StateWaiting, false},
		{&protocol.FrameError{Tid: 1}, StateWaiting, false},
		{protocol.ErrNotNative, StateWaiting, false},
		{errBusy, StateWaiting, false},
		{errFinal, StateRefused, true},
		{unfit("blobs"), StateRefused, true},
		{&protocol.TooLargeError{What: "record", Tid: 1}, StateRefused, true},
		{fmt.Errorf("begin: %w", zodb.ErrTidOrder), StateRefused, true},
		{errNoRoom, StateFailed, false},
	} {
		if saved, final := stateAfter(fmt.Errorf("wrapped: %w", c.err)); saved != c.state || final != c.final {
			t.Errorf("%v: %s, final %v", c.err, saved, final)
		}
	}
}

func TestNoHopeIsLeftWhenEachAddressHasGivenWhatTimeDoesNotMend(t *testing.T) {
	wrong := fmt.Errorf("handshake: %w", service.Check([]byte("HTTP/1.1 400"), service.WantReplication))
	for name, c := range map[string]struct {
		of   []error // by address in turn, a and b
		want error
	}{
		"one address is not tried yet":             {[]error{errFinal}, nil},
		"both refuse":                              {[]error{errFinal, errFinal}, errFinal},
		"other services":                           {[]error{wrong, wrong}, wrong},
		"one is away":                              {[]error{wrong, errCut}, nil},
		"one was away, and refuses now":            {[]error{wrong, errCut, wrong, errFinal}, errFinal},
		"one refused, and may come back by itself": {[]error{errFinal, wrong, errCut}, nil},
		"encrypted, and not": {[]error{
			fmt.Errorf("handshake: %w", protocol.ErrEncrypted), fmt.Errorf("dial: %w", tls.RecordHeaderError{}),
		}, tls.RecordHeaderError{}},
		"certificates": {[]error{
			&tls.CertificateVerificationError{Err: errCut}, &net.OpError{Op: "remote error", Err: errCut},
		}, errCut},
	} {
		p := paceOf("a", "b")
		var got error
		for _, err := range c.of {
			p.failed(err, false)
			got = p.final(err)
		}
		if (got == nil) != (c.want == nil) || got != nil && !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
