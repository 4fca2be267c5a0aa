package main

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// hint says what to do about an error whose own text does not say so; empty when there is nothing to add.
func hint(err error) string {
	var (
		coded   *codedError
		corrupt *zodb.CorruptError
		locked  *filestorage.LockError
		create  *filestorage.CreateError
		newer   *state.VersionError
		refusal *admin.Refusal
	)
	switch {
	case errors.As(err, &locked), errors.As(err, &create), errors.As(err, &newer):
		return "" // they say it themselves
	case errors.Is(err, admin.ErrNoStatus), errors.Is(err, admin.ErrNoAnswer), errors.As(err, &refusal):
		return ""
	case errors.As(err, &coded) && coded.code == exitUnreachable:
		return "check that the node runs and that the address is that of its --admin"
	case errors.As(err, &corrupt):
		return "run zrsd check on the file, keep a copy of it, and restore it from a backup or from another node"
	case errors.Is(err, endpoint.ErrInUse):
		return "choose another address, or stop the process that listens there"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case errors.Is(err, fs.ErrPermission):
		return "run as the user that owns the files, or change their permissions"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space; nothing that was committed is lost"
	}
	return ""
}
