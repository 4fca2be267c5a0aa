package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/service"
	"github.com/zrsd/zrsd/internal/warning"
)

// Storage looks at the files of a storage. A hanging disk hangs here as well: the caller bounds that.
func (r *Report) Storage(data, blobs string) {
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		r.ok("%s: there is no data file yet", data)
	} else {
		r.owner(data)
	}
	folders := []string{filepath.Dir(data)}
	if blobs != "" {
		folders = append(folders, blobs)
	}
	for _, folder := range folders {
		if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.Wrong(warning.NotOwner, "%s cannot be written to: %v", folder, err)
		}
	}
	r.lock(data)
	r.fileSystem(folders[0])
	r.syncs(folders[0])
	r.pack(data)
}

// owner compares the owner of the data file with who runs this.
func (r *Report) owner(data string) {
	var stat unix.Stat_t
	err := unix.Stat(data, &stat)
	switch {
	case err != nil || unix.Access(data, unix.R_OK|unix.W_OK) != nil:
		r.Wrong(warning.NotOwner, "%s cannot be read and written by user %d", data, os.Geteuid())
	case os.Geteuid() == 0 && stat.Uid != 0:
		r.Wrong(warning.NotOwner, "%s belongs to user %d, and root looks", data, stat.Uid)
	default:
		r.ok("%s belongs to the user that looks", data)
	}
}

// lock says whether a server has the storage, without taking its lock.
func (r *Report) lock(data string) {
	var stat unix.Stat_t
	if err := unix.Stat(data+".lock", &stat); err != nil {
		r.ok("%s: no server has it", data)
		return
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return
	}
	defer locks.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if slices.ContainsFunc(f, func(s string) bool { return strings.HasSuffix(s, fmt.Sprintf(":%d", stat.Ino)) }) {
			r.ok("%s: a server has it", data)
			return
		}
	}
	r.ok("%s: no server has it", data)
}

// networkTypes are file systems on which locks and syncs are not what a local disk makes of them, and those in memory.
var networkTypes = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2",
	unix.FUSE_SUPER_MAGIC: "FUSE", unix.TMPFS_MAGIC: "tmpfs (in memory)",
}

func (r *Report) fileSystem(folder string) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		r.Wrong(warning.DiskUnknown, "the disk of %s: %v", folder, err)
		return
	}
	if name := networkTypes[st.Type]; name != "" {
		r.Wrong(warning.NetworkDisk, "%s is on %s", folder, name)
	}
	r.room(folder, int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize)
}

func (r *Report) room(folder string, free, size int64) {
	switch code := warning.ForDisk(free, size); code {
	case "":
		r.ok("%s: %d MiB of %d MiB are free", folder, free>>20, size>>20)
	default:
		r.Wrong(code, "%s: %d MiB of %d MiB are free", folder, free>>20, size>>20)
	}
}

// How syncs are measured, and above which time they are slow.
const (
	syncRounds = 10
	slowSync   = 20 * time.Millisecond
	syncLimit  = 3 * time.Second
)

// syncs measures how long a sync of a small write takes.
func (r *Report) syncs(folder string) {
	f, err := os.CreateTemp(folder, ".zrsd-doctor-")
	if err != nil {
		return // that it cannot be written to was said
	}
	defer os.Remove(f.Name()) //nolint:errcheck // the next look has another name
	defer f.Close()           //nolint:errcheck // likewise
	var times []time.Duration
	for begun := time.Now(); len(times) < syncRounds && time.Since(begun) < syncLimit; {
		at := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			r.Wrong(warning.DiskFull, "%v", err)
			return
		}
		if err := f.Sync(); err != nil {
			r.Wrong(warning.NotOwner, "%v", err)
			return
		}
		times = append(times, time.Since(at))
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > slowSync {
		r.Wrong(warning.SlowSync, "%s: a sync takes %v", folder, median.Round(time.Microsecond))
	} else {
		r.ok("%s: a sync takes %v", folder, median.Round(time.Microsecond))
	}
}

// pack says how old the last pack is that kept the old file.
func (r *Report) pack(data string) {
	info, err := os.Stat(data + ".old")
	if err != nil {
		return
	}
	if age := time.Since(info.ModTime()); age > maxPackAge {
		r.Wrong(warning.PackOld, "%s: the last pack was %d days ago", data, age/(24*time.Hour))
	}
}

// Backup looks at the newest file in a folder of backups, such as those of repozo.
func (r *Report) Backup(folder string, now time.Time) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		r.Wrong(warning.BackupOld, "%v", err)
		return
	}
	var newest time.Time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	switch age := now.Sub(newest); {
	case newest.IsZero():
		r.Wrong(warning.BackupOld, "%s has no backup", folder)
	case age > 26*time.Hour:
		r.Wrong(warning.BackupOld, "%s: the newest backup is %d hours old", folder, age/time.Hour)
	default:
		r.ok("%s: the newest backup is %v old", folder, age.Round(time.Minute))
	}
}

// OpenFiles compares the limit of this process with what so many clients need.
func (r *Report) OpenFiles(clients int) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if need := uint64(clients) + 500; limit.Cur < need {
		r.Wrong(warning.FewFiles, "this user may open %d files, and %s %d", limit.Cur,
			plural.Or(clients, "client needs", "clients need"), need)
		return
	}
	r.ok("this user may open %d files", limit.Cur)
}

// portTime bounds the look at an address.
const portTime = 2 * time.Second

// Port says what listens at an address of the configuration, if anything does.
func (r *Report) Port(ctx context.Context, what string, e endpoint.Endpoint, want service.Kind) {
	if e.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, portTime)
	defer cancel()
	conn, err := e.Dial(ctx)
	if err != nil {
		r.ok("%s %v: nothing listens there", what, e)
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is kept back
	switch is := recognise(conn); is {
	case want:
		r.ok("%s %v: %s listens there", what, e, is)
	case "", service.TLS:
		r.ok("%s %v: something listens there", what, e)
	default:
		r.Wrong(warning.WrongPort, "%s %v: %s listens there", what, e, is)
	}
}

// recognise lets the other side speak first, as ZEO servers do, and asks as a browser otherwise.
func recognise(conn net.Conn) service.Kind {
	first := make([]byte, 12)
	for _, ask := range []string{"", "GET /livez HTTP/1.0\r\n\r\n"} {
		if _, err := conn.Write([]byte(ask)); err != nil {
			return ""
		}
		if err := conn.SetReadDeadline(time.Now().Add(portTime / 4)); err != nil {
			return ""
		}
		if n, _ := conn.Read(first); n > 0 {
			return service.Recognise(first[:n])
		}
	}
	return ""
}
