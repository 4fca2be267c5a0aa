package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheFoldersOfWhatAServerWritesAreMade(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zeo.conf")
	text := `%define DATA ` + dir + `/volume
<zeo>
  address 127.0.0.1:8100
  pid-filename $DATA/run/zeo.pid
</zeo>
<filestorage>
  path $DATA/filestorage/Data.fs
  blob-dir $DATA/blobs/all/
</filestorage>
<eventlog>
  <logfile>
    path $DATA/log/zeo.log
  </logfile>
</eventlog>
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil {
		t.Fatal("loaded although no folder exists")
	}
	if err := MakeFolders(file); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]bool{
		"run": true, "filestorage": true, "blobs": true, "log": true,
		"filestorage/Data.fs": false, "blobs/all": false, "log/zeo.log": false, // made by who writes them
	} {
		if _, err := os.Stat(filepath.Join(dir, "volume", name)); (err == nil) != want {
			t.Errorf("%s: there is one: %v", name, err == nil)
		}
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zeo.conf")
	text := "<filestorage>\n  path " + file + "/Data.fs\n</filestorage>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := MakeFolders(file)
	if want := file + ":2:8: path: creating its folder: mkdir " + file + ": not a directory"; err == nil ||
		err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
}
