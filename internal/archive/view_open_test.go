package archive

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
)

// watchedDisk notes which files of segments are open.
type watchedDisk struct {
	vfs.FS
	mu     sync.Mutex
	opened int
	open   map[*watchedFile]bool
	most   int
	wrong  []string
	stand  map[string]chan struct{} // reads of a file wait for this
	stood  chan string              // and say so here
}

type watchedFile struct {
	vfs.File
	disk *watchedDisk
}

func watch(disk vfs.FS) *watchedDisk {
	return &watchedDisk{FS: disk, open: map[*watchedFile]bool{}, stand: map[string]chan struct{}{},
		stood: make(chan string)}
}

func (d *watchedDisk) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil || flag != os.O_RDONLY || !strings.Contains(path, segmentsSuffix+"/") {
		return f, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &watchedFile{f, d}
	d.open[w] = true
	d.opened++
	d.most = max(d.most, len(d.open))
	return w, nil
}

func (f *watchedFile) ReadAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	wait := f.disk.stand[f.Name()]
	f.disk.mu.Unlock()
	if wait != nil {
		f.disk.stood <- f.Name()
		<-wait
	}
	f.disk.check(f, "read")
	return f.File.ReadAt(b, off)
}

func (f *watchedFile) Close() error {
	f.disk.check(f, "closed")
	f.disk.mu.Lock()
	delete(f.disk.open, f)
	f.disk.mu.Unlock()
	return f.File.Close()
}

func (d *watchedDisk) check(f *watchedFile, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.open[f] {
		d.wrong = append(d.wrong, f.Name()+" is "+what+" after it was closed")
	}
}

// openNow is how many files are open.
func (d *watchedDisk) openNow() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

const smallSegment = 1000

// someCache returns an empty cache that has room for n segments of smallSegment bytes.
func someCache(t *testing.T, n int64) (*segmentCache, *watchedDisk) {
	t.Helper()
	disk := watch(cacheDisk(t))
	c, err := openSegmentCache(disk, viewData+segmentsSuffix, n*(HeaderLen+smallSegment), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close()
		if n := disk.openNow(); n != 0 {
			t.Errorf("%d files are open at the end", n)
		}
		for _, text := range disk.wrong {
			t.Error(text)
		}
	})
	return c, disk
}

func contentOf(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("%09d.", n), smallSegment/10)) }

func putSome(c *segmentCache, n int) {
	c.put(&Segment{Header: &Header{ID: SegmentID{1, uint64(n)}, To: smallSegment}, Bytes: contentOf(n)})
}

// reads reports whether segment n is here; what is read of it has to be right.
func reads(t *testing.T, c *segmentCache, n int) bool {
	t.Helper()
	b := make([]byte, 100)
	is := c.read(SegmentID{1, uint64(n)}, span{to: smallSegment}, b, 300)
	if is && string(b) != string(contentOf(n)[300:400]) {
		t.Errorf("segment %d: %q was read", n, b)
	}
	return is
}

func TestAFileOfASegmentIsOpenedOnce(t *testing.T) {
	c, disk := someCache(t, 3*maxOpenSegments)
	for n := range maxOpenSegments {
		putSome(c, n)
	}
	for range 3 {
		for n := range maxOpenSegments {
			if !reads(t, c, n) {
				t.Fatalf("segment %d is not here", n)
			}
		}
	}
	if disk.opened != maxOpenSegments {
		t.Errorf("%d segments were opened %d times", maxOpenSegments, disk.opened)
	}
	putSome(c, maxOpenSegments)
	reads(t, c, 0)
	reads(t, c, maxOpenSegments)
	if n := disk.openNow(); n != maxOpenSegments {
		t.Errorf("%d files are open, want %d", n, maxOpenSegments)
	}
	if before := disk.opened; !reads(t, c, 0) || disk.opened != before {
		t.Error("what was used last was closed")
	}
	if before := disk.opened; !reads(t, c, 1) || disk.opened != before+1 {
		t.Error("what was used longest ago is still open")
	}
}

// A segment goes while its file is read: that is closed, and its room is free, when the read has ended.
func TestAFileThatIsReadIsNotClosed(t *testing.T) {
	for what, end := range map[string]func(*segmentCache){
		"another segment needs its room": func(c *segmentCache) { putSome(c, 2) },
		"everything is closed":           func(c *segmentCache) { c.close() },
	} {
		c, disk := someCache(t, 1)
		putSome(c, 1)
		reads(t, c, 1)
		wait := make(chan struct{})
		path := c.path(SegmentID{1, 1})
		disk.stand[path] = wait
		done := make(chan bool)
		go func() { done <- reads(t, c, 1) }()
		<-disk.stood
		end(c)
		if n := disk.openNow(); n != 1 {
			t.Errorf("%s: %d files are open, want the one that is read", what, n)
		}
		close(wait)
		if !<-done {
			t.Errorf("%s: what was being read was not read", what)
		}
		if n := disk.openNow(); n != 0 {
			t.Errorf("%s: %d files are open", what, n)
		}
		if reads(t, c, 1) {
			t.Errorf("%s: the segment is still here", what)
		}
	}
}

// Many read at once what comes and goes.
func TestNoMoreFilesOfSegmentsAreOpenThanAreRead(t *testing.T) {
	c, disk := someCache(t, maxOpenSegments+8)
	const readers = 6
	var g sync.WaitGroup
	for seed := range readers {
		g.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			for range 2000 {
				if n := random.IntN(2 * maxOpenSegments); !reads(t, c, n) {
					putSome(c, n)
				}
			}
		})
	}
	g.Wait()
	if disk.most > maxOpenSegments+readers {
		t.Errorf("%d files were open at once", disk.most)
	}
	if n := disk.openNow(); n > maxOpenSegments {
		t.Errorf("%d files are open", n)
	}
}

// What one view has verified is not taken for right by another one that expects something else at its place.
func TestASegmentOfAnotherViewIsNotTakenForTheRightOne(t *testing.T) {
	c, _ := someCache(t, 3)
	putSome(c, 1)
	b := make([]byte, 10)
	for _, other := range []span{{to: smallSegment, after: Digest{1}}, {from: 5, to: smallSegment + 5}} {
		if c.read(SegmentID{1, 1}, other, b, 0) {
			t.Errorf("%+v was read", other)
		}
	}
	if !reads(t, c, 1) {
		t.Error("the view to which it belongs has lost it")
	}
}
