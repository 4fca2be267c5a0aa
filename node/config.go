package node

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/endpoint"
	"github.com/zrsd/zrsd/vfs"
)

// Defaults of the settings that have one.
const (
	DefaultHeartbeat      = 5 * time.Second
	DefaultMaxSecondaries = 16
	DefaultDrainTimeout   = time.Minute
	DefaultReadyLag       = time.Minute
	DefaultMaxRecord      = 1 << 30
)

// A Config is what both roles have in common. Data is required.
type Config struct {
	FS          vfs.FS            // the disk; nil: the real one
	Data        string            // path of the Data.fs
	Blobs       string            // path of the blob directory; empty: none
	ReplicateTo endpoint.Endpoint // where secondaries connect; required on a primary
	Admin       endpoint.Endpoint // zero: no admin server

	// InsecurePlainText allows addresses that other machines can reach, although everybody who reaches them can
	// read the database and nobody in between is kept from it.
	InsecurePlainText bool

	Heartbeat      time.Duration // how often secondaries hear from this node
	MaxSecondaries int           // connections at a time
	DrainTimeout   time.Duration // how long secondaries may take to catch up when the node stops
	Logger         hclog.Logger  // nil: silent
}

// A PrimaryConfig describes a primary.
type PrimaryConfig struct {
	Config
	// Attach follows a Data.fs that another process owns and writes, instead of owning it.
	Attach bool
}

// A SecondaryConfig describes a secondary. ReplicateFrom is required.
type SecondaryConfig struct {
	Config
	ReplicateFrom []endpoint.Endpoint // of the primary, tried in this order
	ReadyLag      time.Duration       // how far behind it may be and still call itself ready
	MaxRecord     int64               // largest record that it takes, bytes
}

// check reports the first setting that makes no sense, and fills in what has a default.
func (c *Config) check() error {
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Data == "" {
		return &ConfigError{"no data file: name it with --data Data.fs"}
	}
	for _, e := range []endpoint.Endpoint{c.ReplicateTo, c.Admin} {
		if !e.IsZero() && !e.Local() && !c.InsecurePlainText {
			return &ConfigError{fmt.Sprintf("%v can be reached from other machines, and there is no encryption and no "+
				"authentication: listen on 127.0.0.1 or on a Unix socket (and use a tunnel), or accept the risk with "+
				"--insecure-plain-text", e)}
		}
	}
	if c.MaxSecondaries < 1 {
		return &ConfigError{fmt.Sprintf("--max-secondaries %d: at least 1 is needed", c.MaxSecondaries)}
	}
	for name, d := range map[string]time.Duration{"--heartbeat": c.Heartbeat, "--drain-timeout": c.DrainTimeout} {
		if d <= 0 {
			return &ConfigError{fmt.Sprintf("%s %v: give a duration above zero, such as 5s", name, d)}
		}
	}
	return nil
}

func (c *PrimaryConfig) check() error {
	if c.ReplicateTo.IsZero() {
		return &ConfigError{"a primary needs an address for its secondaries: give one with " +
			"--replicate-to 127.0.0.1:5000"}
	}
	return c.Config.check()
}

func (c *SecondaryConfig) check() error {
	switch {
	case len(c.ReplicateFrom) == 0:
		return &ConfigError{"a secondary needs the address of its primary: give it with --replicate-from HOST:PORT"}
	case c.ReadyLag <= 0:
		return &ConfigError{fmt.Sprintf("--ready-lag %v: give a duration above zero, such as 60s", c.ReadyLag)}
	case c.MaxRecord <= 0:
		return &ConfigError{fmt.Sprintf("--max-record %d: give a number of bytes above zero", c.MaxRecord)}
	}
	return c.Config.check()
}
