// Package objectstoretest runs an S3 server for tests, versitygw, and puts faults between it and a client.
package objectstoretest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A Server is an S3 server with one bucket. Its user may do everything.
type Server struct {
	Address string // host:port
	Folder  string // in which the objects of the bucket are files
}

const (
	bucket = "zrsd-test"
	access = "zrsd-test-key"
	secret = "zrsd-test-secret"
	region = "us-east-1"
)

// Start starts a server, which ends with the test, and sets the environment so that clients in this process and in its
// children find the user's credentials. It skips the test where there is no server to run, unless ZRSD_REQUIRE_PYTHON
// says that all that tests need is installed: make versitygw installs it.
func Start(t *testing.T) *Server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	program := program(t)
	dir := t.TempDir()
	for _, name := range []string{"data", "data/" + bucket, "meta", "users"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{Address: freeAddress(t), Folder: filepath.Join(dir, "data", bucket)}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, //nolint:gosec // that make has installed
		"--port", s.Address, "--access", access, "--secret", secret,
		"--region", region, "--iam-dir", filepath.Join(dir, "users"),
		"posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		text, _ := os.ReadFile(log.Name())
		_ = log.Close()
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", text)
		}
	})
	awaitListener(t, s.Address)
	return s
}

// URL returns what objectstore.Open takes, with the keys below prefix, by way of address.
func (s *Server) URL(address, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?region=%s&endpoint=http://%s&use_path_style=true", bucket, prefix, region, address)
}

// program finds the server that make versitygw has installed.
func program(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, "bin", "versitygw")
		if _, gone := os.Stat(path); gone == nil {
			return path
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
		t.Fatal("there is no bin/versitygw: run make versitygw")
	}
	t.Skip("there is no bin/versitygw: run make versitygw")
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // its address is all that is wanted
	return l.Addr().String()
}

// awaitListener waits until the server takes connections.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the S3 server does not listen at %s: %v", address, err)
		}
	}
}

// NoBucket returns the URL of a bucket that does not exist.
func (s *Server) NoBucket() string {
	return fmt.Sprintf("s3://zrsd-none?region=%s&endpoint=http://%s&use_path_style=true", region, s.Address)
}
