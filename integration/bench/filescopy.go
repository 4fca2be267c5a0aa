package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// filesCopy sends all files below the folder over a loopback connection into files of the same names below another one,
// with one sync of the file system at the end: what a copy of many files takes at least.
func filesCopy(ctx context.Context, dir, parent string) (time.Duration, error) {
	target, err := os.MkdirTemp(parent, "")
	if err != nil {
		return 0, err
	}
	took, err := overLoopback(ctx,
		func(conn net.Conn) error { return sendFiles(conn, dir) },
		func(conn net.Conn) error { return errors.Join(receiveFiles(conn, target), syncFileSystem(target)) })
	return took, errors.Join(err, discard(target))
}

func sendFiles(conn net.Conn, dir string) error {
	out := bufio.NewWriterSize(conn, copyBuffer)
	files := tar.NewWriter(out)
	buf := make([]byte, copyBuffer)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return sendOne(files, dir, path, e, buf)
	})
	return errors.Join(err, files.Close(), out.Flush(), conn.Close())
}

func sendOne(files *tar.Writer, dir, path string, e fs.DirEntry, buf []byte) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	if err := files.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o400}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	_, err = io.CopyBuffer(struct{ io.Writer }{files}, struct{ io.Reader }{f}, buf)
	return err
}

func receiveFiles(conn net.Conn, target string) error {
	defer conn.Close() //nolint:errcheck // only read
	files := tar.NewReader(bufio.NewReaderSize(conn, copyBuffer))
	buf := make([]byte, copyBuffer)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(target, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{files}, buf)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// syncFileSystem syncs the file system that has the folder.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return unix.Syncfs(int(f.Fd()))
}
