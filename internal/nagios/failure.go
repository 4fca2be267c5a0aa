package nagios

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/zrsd/zrsd/internal/printable"
)

// Failure returns what a plugin prints when a server, the primary or the secondary, did not report its last
// transactions. It is Critical.
func Failure(server, addr string, err error) (string, Level) {
	var connect *connectError
	if errors.As(err, &connect) {
		return fmt.Sprintf("Can't connect to %s at %s: %s\n", server, pythonString(addr), pythonError(connect.err)),
			Critical
	}
	text := strings.Join(strings.Fields(err.Error()), " ")    // one line, since only that is shown
	text = strings.ReplaceAll(printable.Line(text), "|", "/") // after which are metrics
	return fmt.Sprintf("Can't get the status of %s at %s: %s\n", server, pythonString(addr), text), Critical
}

// pythonError writes what connecting fails with as Python does.
func pythonError(err error) string {
	var number syscall.Errno
	var name *net.DNSError
	switch {
	case errors.As(err, &number):
		text := number.Error()
		return fmt.Sprintf("[Errno %d] %s%s", int(number), strings.ToUpper(text[:1]), text[1:])
	case errors.As(err, &name) && name.IsNotFound:
		return "[Errno -2] Name or service not known"
	}
	return err.Error()
}
