package filestorage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Without room to keep what it cuts off, a storage is opened only if that is a transaction which never became final.
// A disk that fails is another matter.
func TestWhatCannotBeKeptIsNotCutOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		tail   func(*builtFile)
		errno  error
		opened bool
	}{
		{"unfinished, full disk", func(d *builtFile) { d.add(8, 'c', a5(1)) }, syscall.ENOSPC, true},
		{"unfinished, full quota", func(d *builtFile) { d.add(8, 'c', a5(1)) }, syscall.EDQUOT, true},
		{"unfinished, too large a file", func(d *builtFile) { d.add(8, 'c', a5(1)) }, syscall.EFBIG, true},
		{"unfinished, only a header", func(d *builtFile) {
			d.add(8, 'c', a5(1))
			d.bytes = d.bytes[:d.at[3]+txnHeaderLen]
		}, syscall.ENOSPC, true},
		{"unfinished, failing disk", func(d *builtFile) { d.add(8, 'c', a5(1)) }, syscall.EIO, false},
		{"unfinished, not allowed", func(d *builtFile) { d.add(8, 'c', a5(1)) }, syscall.EACCES, false},
		{"final and torn, full disk", func(d *builtFile) {
			d.add(8, ' ', a5(1))
			d.bytes = d.bytes[:len(d.bytes)-3]
		}, syscall.ENOSPC, false},
		{"less than a header, full disk", func(d *builtFile) {
			d.bytes = append(d.bytes, strings.Repeat("c", txnHeaderLen-1)...)
		}, syscall.ENOSPC, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(3, 3, 10)
			good := int64(len(d.bytes))
			c.tail(d)
			disk := simdisk.New()
			f := put(t, disk, "Data.fs", d.bytes)
			disk.FailWhen(func(op simdisk.Op) error {
				if strings.HasPrefix(op.Path, "Data.fs.tr") {
					return c.errno
				}
				return nil
			})
			var log bytes.Buffer
			s, err := Open(t.Context(), "Data.fs", Options{
				FS: disk, Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
			})
			disk.Heal()
			if !c.opened {
				got := make([]byte, len(d.bytes))
				if n, readErr := f.ReadAt(got, 0); !errors.Is(err, c.errno) || !bytes.Equal(got[:n], d.bytes) {
					t.Errorf("%v, %d bytes, %v", err, n, readErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			want := fmt.Sprintf("bytes=%d", int64(len(d.bytes))-good)
			told := log.String()
			if s.Size() != good || !strings.Contains(told, "cut off") || !strings.Contains(told, want) ||
				!strings.Contains(told, "nowhere") {
				t.Errorf("%d bytes, told %s", s.Size(), log.String())
			}
		})
	}
}

// The blobs of all transactions that are cut off are set aside, as far as their records can be made out; those of
// revisions that are there stay.
func TestBlobsOfAllLostTransactionsAreSetAside(t *testing.T) {
	for _, c := range []struct {
		name string
		tail func(*builtFile)
		want []revisionID
	}{
		{"a group", func(d *builtFile) {
			d.add(8, 'c', a5(1), a5(2))
			d.add(9, ' ', a5(3))
			d.add(10, ' ', a5(4))
		}, []revisionID{{1, 8}, {2, 8}, {3, 9}, {4, 10}}},
		{"a group without the end of its second", func(d *builtFile) {
			d.add(8, 'c', a5(1))
			d.add(9, ' ', a5(2))
			d.bytes = d.bytes[:len(d.bytes)-1]
		}, []revisionID{{1, 8}, {2, 9}}},
		{"a torn one", func(d *builtFile) {
			d.add(8, ' ', a5(1), a5(2))
			d.bytes = d.bytes[:len(d.bytes)-10]
		}, []revisionID{{1, 8}}},
		{"a long torn one", func(d *builtFile) {
			long := make([]byte, 2*scanBuf)
			d.add(8, ' ', written{oid: 1, data: long}, written{oid: 2, data: long}, a5(3))
			d.bytes = d.bytes[:len(d.bytes)-10]
		}, []revisionID{{1, 8}, {2, 8}}},
		{"a wrong second length", func(d *builtFile) {
			d.add(8, 'c', a5(1))
			d.bytes[len(d.bytes)-1]++
			d.add(9, ' ', a5(2))
		}, []revisionID{{1, 8}}},
		{"an empty one, and only a header", func(d *builtFile) {
			d.add(8, 'c')
			d.add(9, ' ', a5(2))
			d.bytes = d.bytes[:d.at[4]+txnHeaderLen]
		}, nil},
		{"of a tid that is there", func(d *builtFile) { d.add(6, 'c', a5(1)) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDataFile()
			d.fill(3, 3, 10)
			c.tail(d)
			dir := t.TempDir()
			path := filepath.Join(dir, "Data.fs")
			if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
				t.Fatal(err)
			}
			blobs := &asiding{Store: openBlobs(t, filepath.Join(dir, "blobs"))}
			s, err := Open(t.Context(), path, Options{Blobs: blobs})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if !slices.Equal(blobs.aside, c.want) || s.LastTid() != 6 {
				t.Errorf("set aside are %v, want %v; the last is %v", blobs.aside, c.want, s.LastTid())
			}
			if _, why := s.Leftovers(); why != nil {
				t.Errorf("left: %v", why)
			}
		})
	}
}

// An asiding blob directory notes which blobs are set aside.
type asiding struct {
	*blobstore.Store
	aside []revisionID
	fail  error
}

func (b *asiding) SetAside(oid zodb.Oid, tid zodb.Tid, _ string) error {
	b.aside = append(b.aside, revisionID{oid, tid})
	return b.fail
}

// A blob that cannot be set aside is left for later and told, unless the disk fails.
func TestABlobThatCannotBeSetAsideIsLeftUnlessTheDiskFails(t *testing.T) {
	for _, errno := range []error{syscall.EACCES, syscall.EIO} {
		d := newDataFile()
		d.fill(3, 3, 10)
		d.add(8, 'c', a5(1), a5(2))
		dir := t.TempDir()
		path := filepath.Join(dir, "Data.fs")
		if err := os.WriteFile(path, d.bytes, 0o666); err != nil {
			t.Fatal(err)
		}
		blobs := &asiding{Store: openBlobs(t, filepath.Join(dir, "blobs")), fail: errno}
		s, err := Open(t.Context(), path, Options{Blobs: blobs})
		if errors.Is(errno, syscall.EIO) {
			if !errors.Is(err, errno) {
				t.Errorf("opened with a disk that fails: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, why := s.Leftovers()
		if why == nil || !errors.Is(why, errno) || !strings.Contains(why.Error(), "2 blobs") ||
			!strings.Contains(why.Error(), "oid 0000000000000001") {
			t.Errorf("left: %v", why)
		}
	}
}
