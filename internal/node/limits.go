package node

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/protocol"
)

// Defaults of what peers may cost.
const (
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultIdleTimeout      = time.Minute
	DefaultMaxPerAddress    = 8
	DefaultMaxFrame         = protocol.DefaultMaxFrame
)

// minFrame is room for a frame with nothing in it that varies.
const minFrame = 1024

// checkLimits fills in the defaults of limits that are zero.
func (c *Config) checkLimits() error {
	for _, one := range []struct {
		flag      string
		d         *time.Duration
		otherwise time.Duration
	}{
		{"--handshake-timeout", &c.HandshakeTimeout, DefaultHandshakeTimeout},
		{"--idle-timeout", &c.IdleTimeout, DefaultIdleTimeout},
	} {
		if *one.d < 0 {
			return &ConfigError{fmt.Sprintf("%s %v: give a duration above zero, such as %v", one.flag, *one.d,
				one.otherwise)}
		}
		if *one.d == 0 {
			*one.d = one.otherwise
		}
	}
	if c.MaxPerAddress < 0 {
		return &ConfigError{fmt.Sprintf("--max-per-address %d: at least 1 is needed", c.MaxPerAddress)}
	}
	if c.MaxPerAddress == 0 {
		c.MaxPerAddress = DefaultMaxPerAddress
	}
	return nil
}

// checkFrame does the same for the limit that only a secondary has.
func (c *SecondaryConfig) checkFrame() error {
	if c.MaxFrame == 0 {
		c.MaxFrame = DefaultMaxFrame
	}
	if c.MaxFrame < minFrame || c.MaxFrame > DefaultMaxFrame {
		return &ConfigError{fmt.Sprintf("--max-frame %d: give a number of bytes between %d and %d, the most that the "+
			"protocol has", c.MaxFrame, minFrame, DefaultMaxFrame)}
	}
	return nil
}
