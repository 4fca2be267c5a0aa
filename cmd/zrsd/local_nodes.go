package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/endpoint"
)

// A localNode is a process of zrsd on this machine.
type localNode struct {
	pid  int
	addr string // of its admin server
	err  error  // why that is not known
}

// localNodes returns the processes that serve a storage and that this user may look at: their own, of root all. They
// are found by their command lines, so that there is nothing to be registered, and nothing to be left behind.
func localNodes() (list []localNode, err error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err == nil && len(folders) == 0 {
		err = errors.New("there is no /proc to find the nodes of this machine: give the address of a node")
	}
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		if name := filepath.Base(args[0]); err != nil || name != "zrsd" && name != runzeoName {
			continue // it has ended, or is another program
		}
		pid, _ := strconv.Atoi(filepath.Base(folder))
		cwd, err := os.Readlink(filepath.Join(folder, "cwd"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		n := localNode{pid: pid, err: err}
		serves := true
		if err == nil {
			n.addr, serves, n.err = adminOf(args, cwd)
		}
		if serves {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b localNode) int { return a.pid - b.pid })
	return list, nil
}

// adminOf returns where a process with this command line and working directory has its admin server, and whether it is
// one that serves storages at all.
func adminOf(args []string, cwd string) (addr string, serves bool, err error) {
	cmd, rest, err := rootCommand().Find(asRunzeo(args[0], args[1:]))
	if err != nil || !slices.Contains([]string{"serve", "runzeo", "primary", "secondary"}, cmd.Name()) {
		return "", false, nil //nolint:nilerr // it is no command that serves
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return "", false, nil //nolint:nilerr // it is about to end with this error
	}
	given := func(flag string) string {
		if f := cmd.Flags().Lookup(flag); f != nil {
			return f.Value.String()
		}
		return ""
	}
	if addr := given("admin"); addr != "" {
		return within(cwd, addr), true, nil
	}
	data := given("data")
	switch file := given("configure"); {
	case file != "":
		cfg, err := (config.CommandLine{File: absolute(cwd, file)}).Load()
		if err != nil {
			return "", true, fmt.Errorf("its configuration does not say where its admin server is: %w", err)
		}
		if cfg.Admin != nil && !cfg.Admin.Address.V.IsZero() {
			return within(cwd, cfg.Admin.Address.V.String()), true, nil
		}
		data = cfg.Path()
	case data == "":
		data = filepath.Join(given("dir"), "filestorage", "Data.fs")
	}
	beside, err := endpoint.BesideData(absolute(cwd, data))
	return beside.String(), true, err
}

// within makes the path of a Unix socket absolute; other addresses stay as they are.
func within(cwd, addr string) string {
	if strings.Contains(addr, "/") {
		return absolute(cwd, addr)
	}
	return addr
}

func absolute(cwd, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(cwd, path)
}

// noNodes says that nothing was found, or what was found but not reached.
func noNodes(list []localNode) error {
	var text bytes.Buffer
	for _, n := range list {
		fmt.Fprintf(&text, "; process %d: %v", n.pid, n.err)
	}
	if len(list) == 0 {
		return unreachable(errors.New("no zrsd of this user runs on this machine: give the address of a node"))
	}
	return unreachable(fmt.Errorf("no zrsd was found that can be asked%s: give the address of a node", &text))
}
