package node

import (
	"path/filepath"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/vfs"
)

// disks returns the room on the disks of the data file and of the blobs. A disk that does not say is left out; it may
// hang with the disk.
func (c *Config) disks() (list []admin.Disk) {
	folders := []string{filepath.Dir(c.Data)}
	if c.Blobs != "" {
		folders = append(folders, c.Blobs)
	}
	var seen vfs.Space
	for _, folder := range folders {
		d := admin.Disk{Folder: folder}
		room, known, err := vfs.SpaceOf(c.FS, folder)
		switch {
		case err != nil:
			d.Error = admin.Known(err.Error())
		case !known || len(list) > 0 && room.ID == seen.ID:
			continue
		}
		d.Free, d.Size, seen = room.Free, room.Size, room
		list = append(list, d)
	}
	return list
}
