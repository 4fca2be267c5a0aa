package main

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/config"
)

// withPIDFile runs a server with its process id in a file. As with runzeo, one that cannot be written is logged, and a
// server that only reads writes none.
func withPIDFile(z *config.ZEO, log hclog.Logger, run func() error) error {
	if z == nil || z.PIDFile.V == "" || z.ReadOnly.V {
		return run()
	}
	path := z.PIDFile.V
	if err := writePID(path); err != nil {
		log.Error("cannot write the pid file", "error", err)
		return run()
	}
	log.Info("created the pid file", "file", path)
	defer func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Error("cannot remove the pid file", "error", err)
		}
	}()
	return run()
}

func writePID(path string) error {
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}
