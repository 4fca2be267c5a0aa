package repozo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/vfs"
)

var (
	dataFile = regexp.MustCompile(`^\d{4}(?:-\d\d){5}\.(?:delta)?fsz?$`)
	// dateForm is what repozo documents for --date.
	dateForm = regexp.MustCompile(`^\d{4}(?:-\d\d){0,5}$`)
)

// Errors that say what a repository has not.
var (
	ErrNoFiles = errors.New("there is no backup")
	ErrExists  = errors.New("there is a backup of this second already")
)

// A VerifyError says what is wrong with a file of a repository.
type VerifyError struct {
	Path string
	Text string
}

func (e *VerifyError) Error() string { return e.Path + ": " + e.Text }

// A piece is a full backup or a delta.
type piece struct {
	name string // in the folder
	line *line  // nil: the .dat file has none
}

// A line is one of a .dat file.
type line struct {
	name       string // the last part of the path
	text       string // as it was
	begin, end int64
	sum        string // md5, 32 hexadecimal digits
}

func (p *piece) full() bool   { return !strings.Contains(p.name, ".deltafs") }
func (p *piece) zipped() bool { return strings.HasSuffix(p.name, "z") }
func (p *piece) stem() string { stem, _, _ := strings.Cut(p.name, "."); return stem }

// A repository is a folder with backups.
type repository struct {
	disk vfs.FS
	dir  string
}

func (r *repository) path(name string) string { return filepath.Join(r.dir, name) }

// pieces lists all full backups and deltas, in the order of time.
func (r *repository) pieces() (list []*piece, err error) {
	entries, err := r.disk.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if dataFile.MatchString(e.Name()) {
			list = append(list, &piece{name: e.Name()})
		}
	}
	slices.SortFunc(list, func(a, b *piece) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// chain returns what is needed for the state at a date, all up to now for "". It begins with a full backup, and has the
// lines of its .dat file.
func (r *repository) chain(date string) (list []*piece, err error) {
	all, err := r.pieces()
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if date != "" && all[i].stem() > date {
			continue
		}
		list = append(list, all[i])
		if all[i].full() {
			slices.Reverse(list)
			return list, r.addLines(list)
		}
	}
	switch {
	case len(list) > 0:
		return nil, &VerifyError{r.path(list[len(list)-1].name), "there is no full backup before it, so nothing can " +
			"be restored of it"}
	case date != "":
		return nil, fmt.Errorf("%w in %s before %s", ErrNoFiles, r.dir, date)
	}
	return nil, fmt.Errorf("%w in %s", ErrNoFiles, r.dir)
}

func (r *repository) datPath(full *piece) string { return r.path(full.stem() + ".dat") }

// gone says which file of a chain has a line and is not there; "": none.
func (r *repository) gone(list []*piece) (string, error) {
	lines, err := r.lines(list[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, l := range lines {
		if !slices.ContainsFunc(list, func(p *piece) bool { return p.name == l.name }) {
			return r.path(l.name) + " is missing", nil
		}
	}
	return "", nil
}

// addLines reads the .dat file of a chain.
func (r *repository) addLines(list []*piece) error {
	lines, err := r.lines(list[0])
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, l := range lines {
		if i := slices.IndexFunc(list, func(p *piece) bool { return p.name == l.name }); i >= 0 {
			list[i].line = l
		}
	}
	return err
}

// maxDat bounds a .dat file: a line for each hour of ten years.
const maxDat = 64 << 20

func (r *repository) lines(full *piece) (list []*line, err error) {
	path := r.datPath(full)
	text, err := vfs.ReadFile(r.disk, path, maxDat)
	if err != nil {
		return nil, err
	}
	for n, one := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if one == "" {
			continue
		}
		l, ok := parseLine(one)
		if !ok {
			return nil, &VerifyError{path, fmt.Sprintf("line %d is not a path, two offsets and a checksum: %.200q", n+1,
				one)}
		}
		list = append(list, l)
	}
	return list, nil
}

// parseLine reads a line from its end: a path may have blanks, and other folders than the one it is in now.
func parseLine(text string) (*line, bool) {
	fields := strings.Fields(text)
	if len(fields) < 4 {
		return nil, false
	}
	n := len(fields)
	begin, err1 := strconv.ParseInt(fields[n-3], 10, 64)
	end, err2 := strconv.ParseInt(fields[n-2], 10, 64)
	sum, err3 := hex.DecodeString(fields[n-1])
	name := filepath.Base(strings.Join(fields[:n-3], " "))
	if errors.Join(err1, err2, err3) != nil || begin < 0 || end < begin || len(sum) != 16 ||
		!dataFile.MatchString(name) {
		return nil, false
	}
	return &line{name, text, begin, end, fields[n-1]}, true
}

// addLine gives a piece its line, durably.
func (r *repository) addLine(full, p *piece, begin, end int64, sum string) error {
	path := r.datPath(full)
	text, err := vfs.ReadFile(r.disk, path, maxDat)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	text = fmt.Appendf(text, "%s %d %d %s\n", r.path(p.name), begin, end, sum)
	return vfs.WriteFileAtomic(r.disk, path, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(text, 0)
		return err
	})
}
