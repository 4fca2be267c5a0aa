package node

import (
	"errors"

	"github.com/zrsd/zrsd/cluster"
)

// A ConfigError says that a node cannot be run as it was told to. The text says what to tell it instead.
type ConfigError struct{ Text string }

func (e *ConfigError) Error() string { return e.Text }

// A StartError says that something which a node needs could not be opened: its data, its blobs, its log, an address
// to listen on. Nothing has been served.
type StartError = cluster.StartError

// errStopped is the cause of contexts that end because the node was told to stop.
var errStopped = errors.New("the node is shutting down")
