package protocol

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTheKernelHoldsLittleThatIsUnsent(t *testing.T) {
	client, _ := tcp(t)
	if err := limitUnsent(client); err != nil {
		t.Fatal(err)
	}
	var got int
	err := controlFd(client.(*net.TCPConn), func(fd int) (err error) {
		got, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		return err
	})
	if err != nil || got != maxUnsent {
		t.Errorf("got %d, %v, want %d", got, err, maxUnsent)
	}
}

func TestTheKernelGivesUpAPeerThatConfirmsNothing(t *testing.T) {
	client, _ := tcp(t)
	if err := LimitSilence(client, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	var got int
	err := controlFd(client.(*net.TCPConn), func(fd int) (err error) {
		got, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		return err
	})
	if err != nil || got != 90_000 {
		t.Errorf("got %d, %v, want 90000", got, err)
	}
}
