package main

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// The exit codes are a contract with scripts: see exitHelp, which the help of zrsd shows, and docs/operations.md.
const (
	exitOK          = 0
	exitFound       = 1
	exitUsage       = 2
	exitOpen        = 3
	exitUnreachable = 4
	exitFailed      = 5
	exitNotNow      = 6
	exitRefused     = 7
	exitUnsafe      = 8
	exitForced      = 130
)

const exitHelp = `Exit codes:
  0    done; for check, verify, heal, blobs, compare and diff: nothing wrong, no difference
  1    check, verify, recon, heal or blobs: damage; compare, diff, status: a difference; health, doctor, drill: no
  2    wrong usage: an unknown command or flag, a missing or impossible value
  3    something could not be opened: missing, damaged, locked by another process, no permission, address in use
  4    a command to a running server got no answer from that address, or it has no storage of that name
  5    anything else that failed on the way, such as a full disk
  6    not now: a pack, a verification or a healing is under way, or the storage is not open; try again
  7    refused: not over this connection, not to this storage, or not by this process
  8    refused, because transactions could be lost; promote, rewind and reseed have --force
  130  stopped by SIGINT or SIGTERM before it was done; a second signal ended a server before it had drained`

// A codedError has an exit code of its own.
type codedError struct {
	code int
	err  error
	flag string // of a node that was not reached: the one that says which of its addresses was wanted
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usage(err error) error       { return coded(exitUsage, err) }
func cannotOpen(err error) error  { return coded(exitOpen, err) }
func unreachable(err error) error { return notReached(err, "--admin") }

// notReached is unreachable for another address of a node than that of --admin.
func notReached(err error, flag string) error {
	if err == nil {
		return nil
	}
	return &codedError{exitUnreachable, err, flag}
}

func coded(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code: code, err: err}
}

// errTold ends a command that has said everything on its standard output.
var errTold = errors.New("the findings were printed")

// errFound ends a command that looked for something wrong, found it and has told so.
var errFound = &codedError{code: exitFound, err: errTold}

// exitCode returns the exit code for what a command returned.
func exitCode(err error) int {
	var coded *codedError
	var config *node.ConfigError
	var start *node.StartError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &config):
		return exitUsage
	case errors.As(err, &start):
		return exitOpen
	}
	return exitFailed
}

// asOpenError gives the exit code for opening to errors of a file system or a format; those on the way keep theirs.
func asOpenError(err error) error {
	var path *fs.PathError
	var corrupt *zodb.CorruptError
	if errors.As(err, &path) || errors.As(err, &corrupt) {
		return cannotOpen(err)
	}
	return err
}

// hint says what to do about an error whose own text does not say so; empty when there is nothing to add.
func hint(err error) string {
	var (
		coded   *codedError
		corrupt *zodb.CorruptError
		locked  *filestorage.LockError
		create  *filestorage.CreateError
		newer   *state.VersionError
		refusal *admin.Refusal
		reseed  *node.ReseedNeededError
		other   *service.Error
		state   *state.DamagedError
	)
	_, hope := node.Unreachable(err)
	switch {
	case errors.As(err, &reseed), errors.As(err, &other), errors.As(err, &locked), errors.As(err, &create),
		errors.As(err, &newer), errors.As(err, &state):
		return "" // they say it themselves
	case errors.Is(err, admin.ErrNoStatus), errors.Is(err, admin.ErrNoAnswer), errors.Is(err, admin.ErrNoStorage),
		errors.As(err, &refusal):
		return ""
	case hope:
		return "check that the node runs and that --from is its replication address; the same command resumes the seed"
	case errors.As(err, &coded) && coded.flag != "":
		return "check that the node runs and that the address is that of its " + coded.flag
	case errors.As(err, &corrupt):
		return "run zrsd check on the file, keep a copy of it, and restore it from a backup or from another node"
	case errors.Is(err, endpoint.ErrInUse):
		return "choose another address, or stop the process that listens there"
	case errors.Is(err, node.ErrNoData):
		return "check the path; zrsd serve makes a first Data.fs, a copy or a backup is one, and zrsd secondary " +
			"fetches one from another node"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case errors.Is(err, fs.ErrPermission):
		return "run as the user that owns the files, or change their permissions"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space; nothing that was committed is lost"
	}
	return ""
}
