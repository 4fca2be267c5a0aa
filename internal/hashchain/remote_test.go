package hashchain

import (
	"context"
	"net"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/protocoltest"
	"github.com/zrsd/zrsd/protocol"
)

// A node that knows only version 1 of the messages is asked in that, on one connection for all further questions.
func TestANodeOfVersion1IsAskedInVersion1(t *testing.T) {
	var versions []int
	served := make(chan error, 2)
	r, err := Dial(t.Context(), func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { served <- answerVersion1(t.Context(), server, &versions) }()
		return client, nil
	}, nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if span, err := r.Span(t.Context()); err != nil || span.Last != 7 {
			t.Errorf("got %+v, %v", span, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(versions, []int{2, 1, 1}) {
		t.Errorf("it was asked in the versions %v", versions)
	}
}

// answerVersion1 answers questions as a node does that knows only version 1, until the other side has no more, and
// notes their versions.
func answerVersion1(ctx context.Context, conn net.Conn, versions *[]int) error {
	session, stream, err := protocoltest.Accept(ctx, conn)
	if err != nil {
		return err
	}
	defer session.Close()
	control := protocol.NewControl(stream)
	for {
		msg, err := control.Receive(ctx)
		if err != nil {
			return nil // the other side has hung up
		}
		query := msg.(*protocol.HistoryQuery)
		*versions = append(*versions, query.Version)
		if query.Version == 1 {
			_ = control.Send(&protocol.HistoryAnswer{StorageID: "s", Last: 7})
		} else {
			_ = control.Send(&protocol.Refusal{Code: protocol.CodeProtocol, Text: "only version 1"})
		}
	}
}
