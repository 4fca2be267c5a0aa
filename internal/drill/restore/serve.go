package restore

import (
	"context"
	"crypto/sha256"
	_ "embed" // the script
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo/client"
)

//go:embed reader.py
var script string

const conf = `<zeo>
  address %[1]s/zeo
  read-only true
</zeo>
<filestorage 1>
  path %[1]s/Data.fs
  blob-dir %[1]s/blobs
  read-only true
</filestorage>
<admin>
  address %[1]s/admin
</admin>
`

// starting is how long the server may take until clients can read.
const starting = 10 * time.Minute

// serve serves the copy for reading only, and has clients read it.
func (c *copied) serve(ctx context.Context) (err error) {
	if err := os.WriteFile(filepath.Join(c.dir, "zeo.conf"), fmt.Appendf(nil, conf, c.dir), 0o600); err != nil {
		return err
	}
	p, err := daemon.StartConfigured(c.Binary, filepath.Join(c.dir, "admin"), nil, "serve", "-C",
		filepath.Join(c.dir, "zeo.conf"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Kill()) }() // it only reads
	up, end := context.WithTimeout(ctx, starting)
	defer end()
	_, err = p.Await(up, "it serves what was restored", func(st *admin.Status) bool {
		return st.Ready && st.ZEO != nil
	})
	if err != nil {
		return err
	}
	if err := c.read(ctx, up, p.Exited()); err != nil {
		return fmt.Errorf("a client of what was restored: %w", err)
	}
	if c.Python == "" {
		return nil
	}
	return c.readByPython(ctx)
}

// dial connects a client. A server says that it is ready a moment before it listens.
func (c *copied) dial(up context.Context, exited <-chan struct{}) (*client.Conn, error) {
	for {
		conn, err := client.Dial(up, []string{filepath.Join(c.dir, "zeo")}, client.Options{ReadOnly: true})
		if err == nil {
			return conn, nil
		}
		select {
		case <-exited:
			return nil, err
		default:
		}
		if !pause.For(up, 20*time.Millisecond) {
			return nil, err
		}
	}
}

// read compares what a client gets with what is in the file.
func (c *copied) read(ctx, up context.Context, exited <-chan struct{}) error {
	conn, err := c.dial(up, exited)
	if err != nil {
		return err
	}
	defer conn.Close()
	last, err := conn.LastTransaction(ctx)
	if err == nil && last != c.moment.Tid {
		err = fmt.Errorf("its last transaction is %v, want %v", last, c.moment.Tid)
	}
	if err != nil {
		return err
	}
	for i := range c.sample {
		o := &c.sample[i]
		r, err := conn.Load(ctx, o.oid)
		if err != nil {
			return err
		}
		if r.Tid != o.tid || sha256.Sum256(r.Data) != o.data {
			return fmt.Errorf("oid %v is another one than in the file", o.oid)
		}
		c.one.Objects++
		if o.blob < 0 {
			continue
		}
		var n counter
		if err := conn.FetchBlob(ctx, o.oid, o.tid, &n); err != nil {
			return err
		}
		if int64(n) != o.blob {
			return fmt.Errorf("the blob of oid %v has %d bytes, want %d", o.oid, n, o.blob)
		}
	}
	return nil
}

// A counter counts what is written to it.
type counter int64

func (n *counter) Write(b []byte) (int, error) {
	*n += counter(len(b))
	return len(b), nil
}

// readByPython has ZEO's own client read the same objects.
func (c *copied) readByPython(ctx context.Context) error {
	var oids strings.Builder
	for i := range c.sample {
		fmt.Fprintln(&oids, c.sample[i].oid, c.sample[i].tid)
	}
	args := []string{"-c", script, filepath.Join(c.dir, "zeo"), c.moment.Tid.String()}
	cmd := exec.CommandContext(ctx, c.Python, args...) //nolint:gosec // the operator names it
	cmd.Stdin = strings.NewReader(oids.String())
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return fmt.Errorf("the client in Python: %w: %s", err, text[max(0, len(text)-500):])
	}
	if c.one.Python, err = strconv.Atoi(text); err != nil || c.one.Python != len(c.sample) {
		return fmt.Errorf("the client in Python has read %q of %d objects", text, len(c.sample))
	}
	return nil
}
