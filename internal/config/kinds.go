package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/zconfig"
)

// A kind is a type of values: its name in the tables and in the reference, and how its text is read.
type kind[T any] struct {
	name string
	read func(text string) (T, error)
}

var (
	boolean  = kind[bool]{"boolean", zconfig.Bool}
	integer  = kind[int64]{"integer", zconfig.Int}
	size     = kind[int64]{"byte-size", zconfig.Bytes}
	interval = kind[time.Duration]{"time-interval", zconfig.Interval}
	seconds  = kind[time.Duration]{"seconds", readSeconds}
	text     = kind[string]{"string", func(s string) (string, error) { return s, nil }}
	path     = kind[string]{"path", expand}
	pathIn   = kind[string]{"existing-dirpath", existingDirpath}
	bind     = kind[endpoint.Endpoint]{"socket-binding-address", func(s string) (endpoint.Endpoint, error) {
		return address(s, "")
	}}
	connect = kind[[]endpoint.Endpoint]{"socket-address", addresses}
	words   = kind[[]string]{"string-list", func(s string) ([]string, error) { return strings.Fields(s), nil }}
	// schedule leaves the text as it is: it is read again where it is used.
	schedule = kind[string]{"crontab", func(s string) (string, error) {
		_, err := packplan.Parse(s)
		return s, err
	}}
	level = kind[Level]{"logging-level", readLevel}
)

// oneOf is a kind of which all values are known.
func oneOf(values ...string) kind[string] {
	return kind[string]{strings.Join(values, " or "), func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("%q is not possible: write %s", s, strings.Join(values, " or "))
		}
		return s, nil
	}}
}

// readSeconds reads a number of seconds, whole or not.
func readSeconds(s string) (time.Duration, error) {
	f, err := zconfig.Float(s)
	if err != nil {
		return 0, err
	}
	if f < 0 || f > 100*365*86400 {
		return 0, fmt.Errorf("%s seconds are not possible", s)
	}
	return time.Duration(f * float64(time.Second)), nil
}

// expand replaces ~ at the beginning by the home directory of the user, as the Python server does.
func expand(s string) (string, error) {
	if s == "" {
		return "", errors.New("a path is needed")
	}
	if s != "~" && !strings.HasPrefix(s, "~/") {
		return s, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%s: %w: write the path in full", s, err)
	}
	return home + s[1:], nil
}

// existingDirpath reads a path whose folder exists.
func existingDirpath(s string) (string, error) {
	p, err := expand(s)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(vfs.CleanPath(p)) // of blobs/ it is not blobs
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%s: there is no folder %s: create it", s, dir)
	}
	return p, nil
}

// cleaned is the path of a Data.fs or a blob directory in the one spelling that counts from here on.
func cleaned(v Value[string]) Value[string] {
	v.V = vfs.CleanPath(v.V)
	return v
}

// address reads an address that needs a port; host is taken where none is given.
func address(s, host string) (endpoint.Endpoint, error) {
	a, err := zconfig.ParseAddress(s)
	if err != nil {
		return endpoint.Endpoint{}, err
	}
	if a.Path == "" && !a.HasPort {
		return endpoint.Endpoint{}, fmt.Errorf("%q has no port: write host:port", s)
	}
	if a.Host == "" {
		a.Host = host
	}
	return endpoint.Parse(a.String())
}

// addresses reads addresses to connect to. Without a host this machine is meant.
func addresses(s string) (list []endpoint.Endpoint, err error) {
	for part := range strings.SplitSeq(s, ",") {
		e, err := address(strings.TrimSpace(part), "127.0.0.1")
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// A Level is how severe a message must be, as Python numbers it: 10 debug, 20 info, 30 warning, 40 error, 50 critical.
type Level int

var levelNames = map[string]Level{
	"critical": 50, "fatal": 50, "error": 40, "warn": 30, "warning": 30, "info": 20, "blather": 15, "debug": 10,
	"trace": 5, "all": 1, "notset": 0,
}

func readLevel(s string) (Level, error) {
	if l, known := levelNames[strings.ToLower(s)]; known {
		return l, nil
	}
	n, err := zconfig.Int(s)
	if err != nil || n < 0 || n > 50 {
		return 0, fmt.Errorf("%q is no level: write critical, error, warning, info, debug, trace or all", s)
	}
	return Level(n), nil
}
