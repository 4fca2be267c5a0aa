package secondary

import (
	"context"
	"net"
	"testing"

	"github.com/zrsd/zrsd/protocol"
)

// impostor is a primary that welcomes everybody at once, whatever they ask for. It serves one connection.
func impostor(t *testing.T) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- welcomeOne(ctx, l.Accept) }()
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func welcomeOne(ctx context.Context, accept func() (net.Conn, error)) error {
	conn, err := accept()
	if err != nil {
		return err
	}
	return greet(ctx, conn, func(s *scripted) error {
		err := s.control.Send(&protocol.Welcome{Version: protocol.MessageVersion, StorageID: scriptedID})
		select {
		case <-s.session.CloseChan():
		case <-ctx.Done():
		}
		return err
	})
}

func TestAPrimaryThatCannotProveTheSecretIsNotFollowed(t *testing.T) {
	st := refuses(t, impostor(t), "cannot prove that it has the shared secret", func(o *Options) {
		o.Secret = protocol.Secret("what only the real one has")
	})
	if st.StorageID != "" {
		t.Errorf("got %+v", st)
	}
}
