package filestorage

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Following a damaged pointer is an error that names the place.
func TestLoadDamage(t *testing.T) {
	build := func() (*builtFile, int64, int64) {
		d := newDataFile()
		first := d.add(10, ' ', written{oid: 1, data: []byte("data")}, written{oid: 2, data: []byte("other")})
		second := d.add(20, ' ', written{oid: 1, back: first[0]})
		return d, first[1], second[0]
	}
	d, other, rec := build()
	for name, c := range map[string]struct{ field, value, want int64 }{
		"pointer to itself":     {rec + 42, rec, rec + 42},
		"pointer forwards":      {rec + 42, rec + 1, rec + 42},
		"negative pointer":      {rec + 42, -5, rec + 42},
		"pointer to other oid":  {rec + 42, other, other},
		"pointer into the head": {rec + 42, 5, 5},
		"prev to itself":        {rec + 16, rec, rec + 16},
		"prev to other oid":     {rec + 16, other, other},
		"length of the target":  {d.at[0] + 27 + 34, 1 << 50, d.at[0] + 27 + 34},
	} {
		t.Run(name, func(t *testing.T) {
			src := d.source(t)
			s := &Storage{openDataFile: newEdition(src.path)}
			s.file, s.index, s.commitPoint = src.file, d.x, src.commitPoint
			good, err := s.LoadBefore(1, 20)
			if err != nil || string(good.Data) != "data" {
				t.Fatal(good, err)
			}
			bad, _, _ := build()
			binary.BigEndian.PutUint64(bad.bytes[c.field:], uint64(c.value))
			src = bad.source(t)
			s.file, s.index, s.commitPoint = src.file, bad.x, src.commitPoint
			_, _, err = s.Load(1)
			if err == nil {
				_, err = s.LoadBefore(1, 20)
			}
			var corrupt *zodb.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Pos != c.want {
				t.Errorf("%v, want damage at %d", err, c.want)
			}
		})
	}
}
