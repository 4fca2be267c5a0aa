package nagios

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/zrsd/zrsd/internal/printable"
)

// pythonString writes s as Python's repr does.
func pythonString(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	var b strings.Builder
	b.WriteString(quote)
	for _, c := range s {
		switch {
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\\', string(c) == quote:
			b.WriteByte('\\')
			b.WriteRune(c)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteString(quote)
	return b.String()
}

// pythonFloat writes the finite number f as Python's repr does: as few digits as tell it from every other one.
func pythonFloat(f float64) string {
	if size := math.Abs(f); size != 0 && size < 1e-4 || size >= 1e16 {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Failure returns what a plugin prints when a server, the primary or the secondary, did not report its last
// transactions. It is Critical.
func Failure(server, addr string, err error) (string, Level) {
	var connect *connectError
	if errors.As(err, &connect) {
		return fmt.Sprintf("Can't connect to %s at %s: %s\n", server, pythonString(addr), pythonError(connect.err)),
			levelCritical
	}
	text := strings.Join(strings.Fields(err.Error()), " ")    // one line, since only that is shown
	text = strings.ReplaceAll(printable.Line(text), "|", "/") // after which are metrics
	return fmt.Sprintf("Can't get the status of %s at %s: %s\n", server, pythonString(addr), text), levelCritical
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
