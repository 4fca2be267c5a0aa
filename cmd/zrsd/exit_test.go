package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/zodb"
)

func TestEachKindOfErrorHasItsExitCodeAndSaysWhatToDo(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "Data.fs", Err: fs.ErrNotExist}
	corrupt := &zodb.CorruptError{File: "Data.fs", Pos: 4, Want: "this", Got: "that"}
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{nil, exitOK, ""},
		{errFound, exitFound, ""},
		{usage(errors.New("no")), exitUsage, ""},
		{&node.ConfigError{Text: "no: do this"}, exitUsage, ""},
		{cannotOpen(missing), exitOpen, "check the path"},
		{asOpenError(fmt.Errorf("dump: %w", corrupt)), exitOpen, "run zrsd check"},
		{&node.StartError{Err: missing}, exitOpen, "check the path"},
		{&node.StartError{Err: fmt.Errorf("%w (%w)", missing, node.ErrNoData)}, exitOpen, "zrsd serve makes a first"},
		{&node.StartError{Err: fmt.Errorf("listening: %w", endpoint.ErrInUse)}, exitOpen, "choose another address"},
		{&node.StartError{Err: &fs.PathError{Err: fs.ErrPermission}}, exitOpen, "run as the user"},
		{&node.StartError{Err: &filestorage.LockError{}}, exitOpen, ""},
		{unreachable(os.NewSyscallError("connect", syscall.ECONNREFUSED)), exitUnreachable, "check that the node runs"},
		{unreachable(admin.ErrNoStatus), exitUnreachable, ""},
		{os.NewSyscallError("write", syscall.ENOSPC), exitFailed, "free some space"},
		{errors.New("anything else"), exitFailed, ""},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.code)
		}
		if got := hint(c.err); (c.hint == "") != (got == "") || !strings.Contains(got, c.hint) {
			t.Errorf("%v: hint %q, want %q", c.err, got, c.hint)
		}
	}
}

func TestEveryExitCodeIsInTheHelp(t *testing.T) {
	for _, code := range []int{exitOK, exitFound, exitUsage, exitOpen, exitUnreachable, exitFailed, exitNotNow,
		exitRefused, exitForced} {
		if !strings.Contains(exitHelp, fmt.Sprintf("\n  %-3d  ", code)) {
			t.Errorf("exit code %d is not explained", code)
		}
	}
}
