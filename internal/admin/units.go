package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// bytesText writes a size in the unit in which it has one to four digits before the point.
func bytesText(n *int64) string { return sizeText(asFloat(n)) }

func sizeText(n *float64) string {
	if n == nil {
		return unknown
	}
	value := *n
	for _, unit := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		switch {
		case unit == "B" && math.Abs(value) < 1024:
			return fmt.Sprintf("%.0f B", value)
		case math.Abs(value) < 1023.95: // which is not written as 1024.0
			return fmt.Sprintf("%.1f %s", value, unit)
		}
		value /= 1024
	}
	return fmt.Sprintf("%.1f PiB", value)
}

// spanText writes a number of seconds in the unit that fits.
func spanText(seconds *float64) string {
	if seconds == nil {
		return unknown
	}
	s := *seconds
	switch {
	case s == 0:
		return "0 s"
	case s < 0.000_999_5:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.009_95:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 0.999_5:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 59.95:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", s), ".0") + " s"
	}
	return longText(time.Duration(s * float64(time.Second)).Round(time.Second))
}

// longText writes a minute or more in its two largest units.
func longText(d time.Duration) string {
	for _, u := range []struct {
		large, small         time.Duration
		largeName, smallName string
	}{
		{24 * time.Hour, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "min"},
		{time.Minute, time.Second, "min", "s"},
	} {
		if d < u.large {
			continue
		}
		whole, rest := d/u.large, d%u.large/u.small
		if rest == 0 {
			return fmt.Sprintf("%d %s", whole, u.largeName)
		}
		return fmt.Sprintf("%d %s %d %s", whole, u.largeName, rest, u.smallName)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// numberText writes a number with as many digits as are of use, and commas between thousands.
func numberText(v *float64) string {
	switch {
	case v == nil:
		return unknown
	case *v == 0:
		return "0"
	case *v < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(*v, 'f', 1, 64), ".0")
	}
	return grouping(strconv.FormatFloat(*v, 'f', 0, 64))
}

// grouping puts commas between thousands.
func grouping(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
