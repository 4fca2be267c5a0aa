package protocol

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestASlowAnswerIsWaitedForAndSilenceIsNot: patience counts from the last byte, not from the question.
func TestASlowAnswerIsWaitedForAndSilenceIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 10 * time.Second
		near, far := net.Pipe()
		client, server := NewRangeStream(near), NewRangeStream(far)
		client.Patience(patience)
		request := &RangeRequest{From: 4, Length: 100 << 10}
		content := bytes.Repeat([]byte("z"), int(request.Length))
		go func() {
			rest, err := server.AnswerRange(request, content)
			for part := 0; err == nil && part < 10; part++ {
				<-time.After(patience - time.Second)
				_, err = server.Write(rest[part*len(rest)/10 : (part+1)*len(rest)/10])
				err = errors.Join(err, server.Flush())
			}
			if err != nil {
				t.Error(err)
			}
		}()
		begun := time.Now()
		got, err := client.ReceiveRange(request, nil)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begun); took < 5*patience {
			t.Errorf("the test was too quick: %v", took)
		}
		if _, err := client.ReceiveRange(request, nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(client.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
}
