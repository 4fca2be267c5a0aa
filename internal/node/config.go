package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/packplan"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// Defaults of the settings that have one.
const (
	DefaultHeartbeat      = 5 * time.Second
	DefaultMaxSecondaries = 16
	DefaultMaxSeeds       = 2
	DefaultSeedThreshold  = 64 << 20
	DefaultMaxDiffs       = 16 << 30
	DefaultDrainTimeout   = time.Minute
	DefaultReadyLag       = time.Minute
	DefaultMaxRecord      = 1 << 30
	DefaultKeepAliveDelay = time.Minute
)

// A Config is what both roles have in common. Data is required.
type Config struct {
	FS          vfs.FS            // the disk; nil: the real one
	Data        string            // path of the Data.fs
	Name        string            // how others call this node; empty: host and data file
	Blobs       string            // path of the blob directory; empty: none
	SharedBlobs bool              // Blobs is the primary's own directory: blobs are not sent, and it is only read
	BlobPlaces  BlobConfig        // where blobs are beside that
	ReplicateTo endpoint.Endpoint // where secondaries connect; required on a primary
	Advertise   endpoint.Endpoint // where others reach ReplicateTo; zero: there, by this machine's name
	Admin       endpoint.Endpoint // zero: no admin server, or see AdminBeside
	// AdminBeside has the admin server answer at a Unix socket beside the data file, where Admin is zero. One that
	// cannot be made there is told in the log, and is no reason not to start.
	AdminBeside bool
	AdminNames  []string // under which it answers, beside those of this machine

	TLS      *tlsauth.Files // between servers, both sides with certificates; nil: plain text
	AdminTLS *tlsauth.Files // of the admin server, which asks for certificates when it has an authority; nil: plain
	// SecretFile has the secret that both sides of a replication prove to have. Empty: none.
	SecretFile string

	Coordinator *CoordinatorConfig // decides who leads; nil: nobody but operators

	Sync cluster.SyncConfig // for how many secondaries commits of clients wait

	Reloads *Reloads // has the files of both read again; nil: never

	// InsecurePlainText allows plain text with other machines, although everybody on the way can then read and change
	// the database.
	InsecurePlainText bool

	Heartbeat      time.Duration // how often secondaries hear from this node
	MaxSecondaries int           // connections at a time
	MaxSeeds       int           // of them, those that take the data file as it is; 0: the default
	SeedRate       int64         // bytes per second that these get together; 0: no limit
	// MaxDiffs is how many bytes of its data file one secondary gets in a turn while others wait for theirs; 0: no
	// limit.
	MaxDiffs int64
	// SeedCompress has a primary compress what it sends of its files as they are.
	SeedCompress bool
	// SeedThreshold is how many bytes longer a primary's file must be for this node to take it as it is; 0: it never
	// does. A new copy always does, and one that gets blobs from 4 MiB on.
	SeedThreshold int64
	DrainTimeout  time.Duration // how long secondaries may take to catch up when the node stops
	Logger        hclog.Logger  // nil: silent

	HandshakeTimeout time.Duration // until a peer has proved who it is, then until it streams; 0: the default
	IdleTimeout      time.Duration // for which a peer may be silent, or send nothing of what it has; 0: the default
	MaxPerAddress    int           // connections of one address that have proved nothing yet; 0: the default

	PackNoGC  bool // packs leave garbage, unless told otherwise
	PackNoOld bool // packs leave no Data.fs.old, unless told otherwise

	PackSchedule string // when the storage is packed by itself, as in a crontab; empty: never
	PackDays     int    // how many days of history such packs leave
	packSchedule *packplan.Schedule

	Decompress, Compress bool // zeo.StorageOptions

	Verify  VerifyConfig  // how the storage is verified
	Archive ArchiveConfig // where it is archived
	Heal    string        // when damage is healed: HealByRole, HealAuto or HealAsk

	// ExpectData says that the files of the node must be there: an empty folder counts as a disk that is not mounted.
	ExpectData bool
	// Reseed is what this node does where it is a secondary that has lost its data file; empty: ReseedAsk.
	Reseed string

	// Moments of the storage are served as storages of their own.
	Moments []MomentConfig

	// NewIdentity makes the storage a database of its own where it has no state file, or a copy of one. AsItWas makes a
	// copy the node again that it is a copy of: the files were moved, or the whole cluster was restored. Both are for
	// one start.
	NewIdentity, AsItWas bool

	// Opened is called with the node each time that its storage was opened, by tests of package cluster. Nil: nobody
	// is.
	Opened func(*cluster.Node)

	archiver      *atomic.Pointer[archive.Writer] // while the storage is open
	archiveFailed *atomic.Pointer[error]          // why there is none

	handle      *storageHandle              // where commands find the storage
	verifiable  *atomic.Pointer[verifiable] // what a pass needs of it while it is open
	verifier    *verify.Verifier
	healer      *healer
	onlyRead    bool // nothing is written beside the data file
	onlyMoments bool // clients do not get the storage as it is
	views       *atomic.Pointer[[]*momentView]
	front       front    // of the process; nil: there is none
	zeoName     string   // of the storage, as its clients ask for it
	delay       *delayed // what its clients see later; nil: they see it as it comes
	// board has what the storage and its parts wait for.
	board *watchdog.Board
	// leaving is set when the process begins to end, before its clients are disconnected: they look for another primary
	// at once, and nobody should say then that this one leads.
	leaving *atomic.Bool
	read    credentials                    // what is in the files of certificates and secrets, while the node runs
	adminAt endpoint.Endpoint              // of the process
	zeo     *ZEOConfig                     // how clients are served; nil: they are not
	clients func() (registered, limit int) // of the front
	// onePack is held while a storage of the process is packed by schedule.
	onePack *sync.Mutex
	// offer gives the storage to the front of the process. Nil: there is none.
	offer func(*filestorage.Storage, zeo.StorageOptions) (withdraw func())
	// setAccess changes what the clients of the front may do. Nil: there are none.
	setAccess func(zeo.Access)
	// clientStats is what the clients of the front did, false while there are none. Nil: there is no front.
	clientStats func() (zeo.Stats, bool)
	// resized informs clients that a pack has changed the size of the storage. Nil: there are none.
	resized func()
}

// A PrimaryConfig describes a primary.
type PrimaryConfig struct {
	Config
	// Attach follows a Data.fs that another process owns and writes, instead of owning it.
	Attach bool
	// Create makes an empty Data.fs where there is none, instead of failing.
	Create bool
	// ReplicateFrom is where the primary may be when this node is none any more: the other nodes that could be.
	ReplicateFrom []endpoint.Endpoint
	// Protocol is how this node speaks to a primary when it is none any more; empty: secondary.ProtocolNative.
	Protocol secondary.Protocol
}

// following is how this node follows another one when it is no longer primary.
func (c *PrimaryConfig) following() SecondaryConfig {
	return SecondaryConfig{
		ReplicateFrom: c.ReplicateFrom, ReadyLag: DefaultReadyLag, MaxRecord: DefaultMaxRecord,
		MaxFrame: DefaultMaxFrame, Protocol: cmp.Or(c.Protocol, secondary.ProtocolNative),
	}
}

// A SecondaryConfig describes a secondary. ReplicateFrom is required.
type SecondaryConfig struct {
	Config
	ReplicateFrom []endpoint.Endpoint // of the primary, tried in this order
	SeedFrom      []endpoint.Endpoint // of nodes whose data file is taken as it is, before the primary is connected to
	SeedArchive   string              // URL of an archive from which an empty copy is filled first; empty: none
	seedEnds      bool                // it ends when it has what one of the nodes had: see Seed
	SeedCopy      *secondary.SeedCopy // is taken where it is the same as the primary's files; nil: none
	Spare         bool                // it follows only while another node of ReplicateFrom is out
	SpareAfter    time.Duration       // for how long that must be; 0: cluster.DefaultSpareAfter
	// ApplyDelay is how old a transaction has to be before clients see it; 0: they see each as it comes.
	ApplyDelay time.Duration
	ReadyLag   time.Duration      // how far behind it may be and still call itself ready
	MaxRecord  int64              // largest record that it takes, bytes
	Protocol   secondary.Protocol // how the primary is spoken to; empty: secondary.ProtocolAuto
	// KeepAliveDelay is the time between keep-alives to a zc.zrs primary; 0: none.
	KeepAliveDelay time.Duration
	MaxFrame       int64 // largest frame that it takes, bytes; 0: the default
}

// check reports the first setting that makes no sense, and fills in what has a default.
func (c *Config) check() error {
	c.fill()
	if c.Data == "" {
		return errNoData
	}
	if err := c.checkTrust(); err != nil {
		return err
	}
	if err := c.checkCoordinator(); err != nil {
		return err
	}
	if err := c.checkLimits(); err != nil {
		return err
	}
	if err := errors.Join(c.checkHeal(), c.Verify.check(), c.Archive.Check(), c.checkPacks()); err != nil {
		return err
	}
	if err := c.Sync.Check(); err != nil {
		return &ConfigError{err.Error()}
	}
	if c.NewIdentity && c.AsItWas {
		return &ConfigError{"--new-identity and --as-it-was: the node is to be another one, and the same one: leave " +
			"out one of the two"}
	}
	if err := c.checkSeeds(); err != nil {
		return err
	}
	if err := c.checkBlobs(); err != nil {
		return err
	}
	if err := c.checkReseed(); err != nil {
		return err
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

func (c *Config) checkSeeds() error {
	if c.MaxSeeds == 0 {
		c.MaxSeeds = DefaultMaxSeeds
	}
	switch {
	case c.MaxSeeds < 0:
		return &ConfigError{fmt.Sprintf("--max-seeds %d: at least 1 is needed", c.MaxSeeds)}
	case c.SeedRate < 0:
		return &ConfigError{fmt.Sprintf("--seed-rate %d: give bytes per second, or 0 for no limit", c.SeedRate)}
	case c.MaxDiffs < 0:
		return &ConfigError{fmt.Sprintf("--max-diffs %d: give a number of bytes, or 0 for no limit", c.MaxDiffs)}
	case c.SeedThreshold < 0:
		return &ConfigError{fmt.Sprintf("--seed-threshold %d: give a number of bytes, or 0 for never", c.SeedThreshold)}
	}
	return nil
}

func (c *Config) checkCoordinator() error {
	switch {
	case c.Coordinator == nil:
		return nil
	case c.ReplicateTo.IsZero():
		return &ConfigError{"a node with a coordinator may become primary: give the address for secondaries with " +
			"--replicate-to"}
	}
	return c.Coordinator.check(c.InsecurePlainText)
}

var errNoData = &ConfigError{"no data file: name it with --data Data.fs"}

// fill fills in what has a default that is no setting.
func (c *Config) fill() {
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.handle == nil {
		c.handle, c.board, c.verifiable = new(storageHandle), new(watchdog.Board), new(atomic.Pointer[verifiable])
	}
	if c.views == nil {
		c.views = new(atomic.Pointer[[]*momentView])
	}
	if c.archiver == nil {
		c.archiver, c.archiveFailed = new(atomic.Pointer[archive.Writer]), new(atomic.Pointer[error])
	}
	if c.leaving == nil {
		c.leaving = new(atomic.Bool)
	}
}

// checkTrust lets plain text leave this machine only where that was asked for.
func (c *Config) checkTrust() error {
	switch {
	case c.TLS != nil && (c.TLS.Certificate == "" || c.TLS.Authority == ""):
		return &ConfigError{"both sides of a replication need a certificate, and the authority of the other's: give " +
			serverFlags}
	case c.TLS == nil && c.exposes(c.ReplicateTo):
		return c.plainText(c.ReplicateTo, reachable, serverFlags)
	}
	return c.checkAdmin()
}

// checkAdmin does the same for the admin server.
func (c *Config) checkAdmin() error {
	switch {
	case c.AdminTLS != nil && c.AdminTLS.Certificate == "":
		return &ConfigError{"the admin server needs a certificate for TLS: give --admin-tls-cert"}
	case c.AdminTLS != nil && c.Admin.IsZero():
		return &ConfigError{"certificates for an admin server, and none is to run: give its address with --admin"}
	case c.AdminTLS == nil && c.exposes(c.Admin):
		return c.plainText(c.Admin, reachable, adminFlags)
	}
	return nil
}

func (c *Config) exposes(e endpoint.Endpoint) bool {
	return !e.IsZero() && !e.Local() && !c.InsecurePlainText
}

// What is wrong with an address in plain text, and what to give it.
const (
	reachable   = "can be reached from other machines"
	serverFlags = "--tls-cert and --tls-ca"
	adminFlags  = "--admin-tls-cert and --admin-tls-ca"
)

func (c *Config) plainText(e endpoint.Endpoint, is, flags string) error {
	but := ""
	if c.SecretFile != "" {
		but = " (a shared secret does not encrypt)"
	}
	return &ConfigError{fmt.Sprintf("%v %s, and there is no encryption%s: give certificates with %s, use "+
		"127.0.0.1 or "+
		"a Unix socket (and a tunnel), or accept the risk with --insecure-plain-text", e, is, but, flags)}
}

func (c *PrimaryConfig) check() error {
	if c.ReplicateTo.IsZero() {
		return &ConfigError{"a primary needs an address for its secondaries: give one with " +
			"--replicate-to 127.0.0.1:5000"}
	}
	if c.Attach && c.PackSchedule != "" {
		return &ConfigError{"--pack-schedule with --attach: the data file belongs to another process: have that one " +
			"pack it"}
	}
	if c.Attach && c.Coordinator != nil {
		return &ConfigError{
			"--attach with --coordinator: who owns the file decides who leads: leave out one of the two",
		}
	}
	if c.Attach && c.Sync.Required > 0 {
		return &ConfigError{"--sync-secondaries with --attach: the process that owns the files answers its clients " +
			"without waiting; leave out one of the two"}
	}
	if p := cmp.Or(c.Protocol, secondary.ProtocolNative); p != secondary.ProtocolNative && p != secondary.ProtocolAuto {
		return &ConfigError{fmt.Sprintf("--protocol %s: a primary, when it is none any more, follows another zrsd: "+
			"give native, or auto", p)}
	}
	if c.SharedBlobs {
		return &ConfigError{"a primary owns its blob directory: shared blobs are a setting of its secondaries"}
	}
	if err := c.Config.check(); err != nil {
		return err
	}
	return c.checkOthers(c.ReplicateFrom)
}

// checkOthers lets plain text leave this machine only where that was asked for.
func (c *Config) checkOthers(others []endpoint.Endpoint) error {
	for _, e := range others {
		if err := c.MayDial(e); err != nil {
			return err
		}
	}
	return nil
}

// MayDial does so for one address of another node. It looks at TLS, SecretFile and InsecurePlainText.
func (c *Config) MayDial(e endpoint.Endpoint) error {
	if c.TLS == nil && c.exposes(e) {
		return c.plainText(e, "is another machine", serverFlags)
	}
	return nil
}

// spareAfter is cluster.Options.SpareAfter.
func (c *SecondaryConfig) spareAfter() time.Duration {
	if !c.Spare {
		return 0
	}
	return cmp.Or(c.SpareAfter, cluster.DefaultSpareAfter)
}

func (c *SecondaryConfig) check() error {
	switch {
	case len(c.ReplicateFrom) == 0:
		return &ConfigError{"a secondary needs the address of its primary: give it with --replicate-from HOST:PORT"}
	case !slices.ContainsFunc(c.ReplicateFrom, c.isAnother):
		return &ConfigError{fmt.Sprintf("--replicate-from %v is the address of this node itself (--replicate-to): "+
			"give that of its primary", c.ReplicateFrom[0])}
	case c.ReadyLag <= 0:
		return &ConfigError{fmt.Sprintf("--ready-lag %v: give a duration above zero, such as 60s", c.ReadyLag)}
	case c.SharedBlobs && c.Blobs == "":
		return &ConfigError{"--blobs-shared: name the primary's blob directory, as it is mounted here, with " +
			"--blobs DIR"}
	case c.Spare && c.ReplicateTo.IsZero():
		return &ConfigError{"--spare: other nodes have to reach a spare that takes the place of one of them: give it " +
			"--replicate-to, too"}
	case c.ApplyDelay < 0:
		return &ConfigError{fmt.Sprintf("--apply-delay %v: give a duration above zero, such as 4h", c.ApplyDelay)}
	case c.ApplyDelay > 0 && len(c.Moments) > 0:
		return &ConfigError{"an apply delay and <as-of>: a moment would show what is to be seen later: have the " +
			"moments served by another node"}
	case c.SpareAfter < 0:
		return &ConfigError{fmt.Sprintf("--spare-after %v: give a duration above zero, such as 30s", c.SpareAfter)}
	case c.MaxRecord <= 0:
		return &ConfigError{fmt.Sprintf("--max-record %d: give a number of bytes above zero", c.MaxRecord)}
	}
	if err := errors.Join(c.checkProtocol(), c.checkPacks()); err != nil {
		return err
	}
	if c.Protocol == secondary.ProtocolZrs2 && c.BlobPlaces.CacheSize > 0 && c.BlobPlaces.Store == "" {
		return &ConfigError{"--protocol zrs2 with --blob-cache-size: a zc.zrs primary gives no single blobs; name an " +
			"object store with --blobs-store, or leave out the cache"}
	}
	if err := c.checkFrame(); err != nil {
		return err
	}
	if err := c.Config.check(); err != nil {
		return err
	}
	return c.checkOthers(slices.Concat(c.ReplicateFrom, c.SeedFrom))
}

// isAnother reports whether an address is none where this node itself serves secondaries.
func (c *SecondaryConfig) isAnother(e endpoint.Endpoint) bool {
	return e.String() != c.ReplicateTo.String() && e.String() != c.Advertise.String()
}

// checkProtocol refuses what zrs2 cannot carry.
func (c *SecondaryConfig) checkProtocol() error {
	if c.Protocol == "" {
		c.Protocol = secondary.ProtocolAuto
	}
	old := c.Protocol == secondary.ProtocolZrs2
	switch {
	case !c.Protocol.Known():
		return &ConfigError{fmt.Sprintf("--protocol %s: give auto, native or zrs2", c.Protocol)}
	case c.KeepAliveDelay < 0:
		return &ConfigError{fmt.Sprintf("--keep-alive-delay %v: give a duration such as 60s, or 0 for none",
			c.KeepAliveDelay)}
	case old && c.SecretFile != "":
		return &ConfigError{"--protocol zrs2: the protocol of zc.zrs cannot carry the shared secret of " +
			"--secret-file; leave out one of them"}
	case old && c.SharedBlobs:
		return &ConfigError{"--protocol zrs2: a zc.zrs primary always sends blobs; leave out --blobs-shared and give " +
			"a blob directory of this node's own"}
	}
	return nil
}

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

// rewindCommand is the command line that sets aside what this node has and the primary at addr never had. The node must
// not run meanwhile.
func (c *Config) rewindCommand(addr string) string { return c.offlineCommand("rewind", addr) }

// reseedCommand is the one that sets the data file aside, so that the node takes everything anew from a primary.
func (c *Config) reseedCommand(addr string) string { return c.offlineCommand("reseed", addr) }

func (c *Config) offlineCommand(name, addr string) string {
	words := []string{"zrsd", name, "--data", c.Data}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, value)
		}
	}
	if !c.SharedBlobs {
		add("--blobs", c.Blobs)
	}
	add("--primary", addr)
	add("--secret-file", c.SecretFile)
	if c.InsecurePlainText {
		words = append(words, "--insecure-plain-text")
	}
	if t := c.TLS; t != nil {
		add("--tls-cert", t.Certificate)
		add("--tls-key", t.Key)
		add("--tls-password-file", t.PasswordFile)
		add("--tls-ca", t.Authority)
		for _, peer := range t.Peers {
			add("--tls-peer", peer)
		}
	}
	for i, word := range words {
		words[i] = quoted(word)
	}
	return strings.Join(words, " ")
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-./:,@%+=[]", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
