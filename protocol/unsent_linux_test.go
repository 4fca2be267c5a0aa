package protocol

import (
	"net"
	"testing"

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
