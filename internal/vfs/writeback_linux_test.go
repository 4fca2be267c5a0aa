package vfs

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestADiskMayBeginWithAFileAtAnyTime(t *testing.T) {
	f, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.(WriteBacker); !ok {
		t.Error("a file of the real disk is no WriteBacker")
	}
	WriteBack(f, 0, 100) // nothing is there
	if _, err := f.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	WriteBack(f, 0, 7)
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil || string(got) != "content" {
		t.Errorf("then there is %q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	WriteBack(f, 0, 7)        // nor anything any more
	WriteBack(&plain{}, 0, 7) // a file that cannot
}
