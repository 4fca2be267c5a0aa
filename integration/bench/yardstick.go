package main

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// median runs measure as often as the run wants and returns the median time.
func (b *bench) median(measure func() (time.Duration, error)) (time.Duration, error) {
	var times []time.Duration
	for range b.runs {
		d, err := measure()
		if err != nil {
			return 0, err
		}
		times = append(times, d)
	}
	return middle(times), nil
}

func middle(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// dd copies the file with dd conv=fsync and returns the time.
func dd(ctx context.Context, file string) (time.Duration, error) {
	target := file + ".dd"
	begin := time.Now()
	out, err := exec.CommandContext(ctx, "dd", "if="+file, "of="+target, "bs=1M", "conv=fsync").CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("dd: %w\n%s", err, out)
	}
	return took, os.Remove(target)
}

// md5sum hashes the file on one core.
func md5sum(file string) (time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	begin := time.Now()
	if _, err := io.CopyBuffer(md5.New(), struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// readAll reads the file from front to back.
func readAll(file string) (time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	begin := time.Now()
	buf := make([]byte, 1<<20)
	for {
		if _, err := f.Read(buf); errors.Is(err, io.EOF) {
			return time.Since(begin), nil
		} else if err != nil {
			return 0, err
		}
	}
}

// tcpCopy sends the file over a loopback connection into another file with one fsync at the end.
func tcpCopy(ctx context.Context, file string) (time.Duration, error) {
	target := file + ".tcp"
	took, err := tcpSend(ctx, file, func(conn net.Conn) error { return receiveFile(conn, target) })
	return took, errors.Join(err, os.Remove(target))
}

// tcpDiscard sends the file over a loopback connection into nothing.
func tcpDiscard(ctx context.Context, file string) (time.Duration, error) {
	return tcpSend(ctx, file, func(conn net.Conn) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, copyBuffer))
		return errors.Join(err, conn.Close())
	})
}

// tcpSend sends the file over a loopback connection to receive, which closes its end.
func tcpSend(ctx context.Context, file string, receive func(conn net.Conn) error) (time.Duration, error) {
	return overLoopback(ctx, func(conn net.Conn) error { return sendFile(conn, file) }, receive)
}

// overLoopback runs both sides of a connection, each of which closes its end, and returns the time.
func overLoopback(ctx context.Context, send, receive func(conn net.Conn) error) (time.Duration, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nothing was written to it
	begin := time.Now()
	sent := make(chan error, 1)
	go func() {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			err = send(conn)
		}
		sent <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		return 0, errors.Join(err, <-sent)
	}
	err = errors.Join(receive(conn), <-sent)
	return time.Since(begin), err
}

// copyBuffer is how many bytes a plain copy has in memory.
const copyBuffer = 256 << 10

func sendFile(conn net.Conn, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer f.Close() //nolint:errcheck // only read
	// Hiding sendfile: zrsd cannot use it.
	_, err = io.CopyBuffer(struct{ io.Writer }{conn}, f, make([]byte, copyBuffer))
	return errors.Join(err, conn.Close())
}

func receiveFile(conn net.Conn, target string) error {
	defer conn.Close() //nolint:errcheck // only read
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, conn, make([]byte, copyBuffer))
	return errors.Join(err, f.Sync(), f.Close())
}

// fsyncs appends size bytes and syncs, count times at the pace, and returns how long each sync took, ascending.
func fsyncs(ctx context.Context, dir string, size, count int, pace time.Duration) ([]time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // removed with the folder
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var times []time.Duration
	for range count {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		begin := time.Now()
		if _, err := f.Write(make([]byte, size)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times, nil
}

// quantile returns the value below which the share q of ascending times lies.
func quantile(times []time.Duration, q float64) time.Duration {
	return times[min(len(times)-1, int(q*float64(len(times))))]
}

func mb(bytes int64, d time.Duration) float64 { return float64(bytes) / 1e6 / d.Seconds() }

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
