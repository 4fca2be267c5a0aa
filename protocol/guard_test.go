package protocol

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
)

// header returns the header of a frame of yamux.
func header(kind, flags byte, stream, length uint32) []byte {
	return []byte{0, kind, 0, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream),
		byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
}

// served returns a session of the side that was connected to, and the raw other end.
func served(t *testing.T, opt SessionOptions) (client net.Conn, s *yamux.Session) {
	t.Helper()
	client, server := tcp(t)
	s, err := ServerSession(server, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return client, s
}

func TestPingsThatNobodyReadsTheAnswersToEndTheSession(t *testing.T) {
	guard := NewGuard(1)
	guard.Open() // also of who has been accepted
	client, s := served(t, SessionOptions{Guard: guard})
	routines := runtime.NumGoroutine()
	ping := bytes.Repeat(header(framePing, 1, 0, 7), 10_000)
	for range 100 {
		if _, err := client.Write(ping); err != nil {
			break
		}
		if n := runtime.NumGoroutine() - routines; n > 2*maxPings {
			t.Fatalf("%d goroutines answer", n)
		}
	}
	<-s.CloseChan()
	if err := guard.Err(); err == nil || !strings.Contains(err.Error(), "does not read the answers") {
		t.Errorf("it ended by: %v", err)
	}
}

func TestPingsWhoseAnswersAreReadGoOnForEver(t *testing.T) {
	client, _ := served(t, SessionOptions{})
	answer := make([]byte, 12)
	for i := range uint32(10 * maxPings) {
		if _, err := client.Write(header(framePing, 1, 0, i)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, answer); err != nil || !bytes.Equal(answer, header(framePing, flagACK, 0, i)) {
			t.Fatalf("answer %x, %v", answer, err)
		}
	}
}

func TestWhoIsNotAcceptedYetMaySendFewBytes(t *testing.T) {
	guard := NewGuard(1000)
	client, s := served(t, SessionOptions{Guard: guard})
	for range 2 { // one stream, whose data is accepted as far as the window goes
		if _, err := client.Write(append(header(frameData, 1, 1, 600), make([]byte, 600)...)); err != nil {
			break
		}
	}
	<-s.CloseChan()
	if err := guard.Err(); err == nil || !strings.Contains(err.Error(), "too many bytes") {
		t.Errorf("it ended by: %v", err)
	}
}

func TestOpenLetsEverythingPass(t *testing.T) {
	guard := NewGuard(500)
	client, s := served(t, SessionOptions{Guard: guard})
	guard.Open()
	if _, err := client.Write(append(header(frameData, 1, 1, 100_000), make([]byte, 100_000)...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	stream, err := s.AcceptStreamWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, stream, 100_000); err != nil {
		t.Error(err)
	}
}

func TestYamuxSaysLittleAboutOneConnection(t *testing.T) {
	var log bytes.Buffer // read when the session has ended
	client, s := served(t, SessionOptions{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	const windowUpdate = 1
	unknown := bytes.Repeat(header(windowUpdate, 0, 77, 0), 1000)
	end := header(windowUpdate, 0, 77, 0)
	end[0] = 9 // no version of yamux
	if _, err := client.Write(append(unknown, end...)); err != nil {
		t.Fatal(err)
	}
	<-s.CloseChan()
	_ = s.Close() // returns when nothing of it runs any more
	if n := strings.Count(log.String(), "\n"); n != maxLogLines {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}
