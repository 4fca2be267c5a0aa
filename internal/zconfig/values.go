package zconfig

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Bool reads ZConfig's boolean: yes, true, on; no, false, off; in any case.
func Bool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "on":
		return true, nil
	case "no", "false", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false: write true or false", s)
}

// Int reads what Python's int reads, if it fits: a sign, digits with single underscores between, white space around.
func Int(s string) (int64, error) {
	digits := strings.TrimFunc(s, isSpace)
	if !grouped(strings.TrimLeft(digits, "+-")) {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is too large a number", s)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

// grouped reports whether s is digits, with single underscores between some.
func grouped(s string) bool {
	for part := range strings.SplitSeq(s, "_") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

// Float reads what Python's float reads, but for infinities and what is not a number.
func Float(s string) (float64, error) {
	digits := strings.TrimFunc(s, isSpace)
	bad := fmt.Errorf("%q is not a number", s)
	if strings.Contains(digits, "__") || strings.ContainsAny(digits, "xXpP") {
		return 0, bad
	}
	for i, c := range digits {
		if c == '_' && (i == 0 || i == len(digits)-1 || !isDigit(digits[i-1]) || !isDigit(digits[i+1])) {
			return 0, bad
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(digits, "_", ""), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, bad
	}
	return f, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Bytes reads ZConfig's byte-size: a whole number and kb, mb or gb, in any case, or nothing for bytes.
func Bytes(s string) (int64, error) {
	return scaled(s, 2, map[string]int64{"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30})
}

// Interval reads ZConfig's time-interval: a whole number and s, m, h or d, or nothing for seconds.
func Interval(s string) (time.Duration, error) {
	n, err := scaled(s, 1, map[string]int64{"s": 1, "m": 60, "h": 3600, "d": 86400})
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second) {
		return 0, fmt.Errorf("%s is too long", s)
	}
	return time.Duration(n) * time.Second, nil
}

// scaled reads a whole number with a suffix of n bytes.
func scaled(s string, n int, units map[string]int64) (int64, error) {
	number, unit := s, int64(1)
	if len(s) >= n {
		if by, found := units[strings.ToLower(s[len(s)-n:])]; found {
			number, unit = s[:len(s)-n], by
		}
	}
	v, err := Int(number)
	if err != nil {
		return 0, err
	}
	hi, lo := bits.Mul64(uint64(max(v, -v)), uint64(unit))
	if hi != 0 || lo > math.MaxInt64 || v == math.MinInt64 {
		return 0, fmt.Errorf("%s is too large a number", s)
	}
	return v * unit, nil
}
