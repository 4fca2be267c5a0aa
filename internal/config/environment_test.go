package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEnvironmentOfTheContainerImageIsAConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("ZEO_PORT", "8200")
	t.Setenv("ZEO_PACK_KEEP_OLD", "false")
	data, blobs := filepath.Join("filestorage", "Data.fs"), "blobstorage"
	cfg, err := FromEnvironment(data, blobs, CommandLine{})
	if err != nil {
		t.Fatal(err)
	}
	st := cfg.Storages[0]
	for _, c := range []struct{ got, want string }{
		{say(cfg.ZEO.Address), ":8200 from environment ZEO_PORT"},
		{say(cfg.ZEO.ReadOnly), "false from default of ZEO_READ_ONLY"},
		{say(cfg.ZEO.InvalidationQueueSize), "100 from default of ZEO_INVALIDATION_QUEUE_SIZE"},
		{say(st.PackKeepOld), "false from environment ZEO_PACK_KEEP_OLD"},
		{say(st.Path), data + " from --data"},
		{say(st.BlobDir), blobs + " from --blobs"},
		{st.Name + " " + string(st.Role), "1 standalone"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	for _, dir := range []string{filepath.Dir(data), blobs} {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s was not created: %v", dir, err)
		}
	}
}

func TestAVariableThatMakesNoSenseIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("ZEO_READ_ONLY", "perhaps")
	_, err := FromEnvironment("Data.fs", "", CommandLine{})
	if err == nil || !strings.HasPrefix(err.Error(), `environment ZEO_READ_ONLY: read-only: "perhaps" is neither`) {
		t.Errorf("got %v", err)
	}
}
