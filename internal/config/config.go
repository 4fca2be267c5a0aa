package config

import (
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/internal/zconfig"
)

// A Config is the whole configuration of a process.
type Config struct {
	files    []string // that were read
	ZEO      *ZEO     // nil: no ZEO clients
	Storages []*Storage
	Archives []*FromArchive
	AsOf     []*AsOf
	EventLog *EventLog // nil: to standard error
	Admin    *Admin    // nil: no admin server
	Notes    []Note
	Settings []Setting // every value, in the order of the file
}

// A ZEO is <zeo>. Durations and sizes that are zero are not set.
type ZEO struct {
	pos                      zconfig.Pos
	Address                  Value[endpoint.Endpoint]
	ReadOnly                 Value[bool]
	InvalidationQueueSize    Value[int64]
	invalidationAge          Value[time.Duration]
	TransactionTimeout       Value[time.Duration]
	PIDFile                  Value[string] // "": none
	clientConflictResolution Value[bool]
	MaxClients               Value[int64]
	MaxPerAddress            Value[int64]
	Msgpack                  Value[bool]
	SSL                      *SSL // nil: plain text
}

// An SSL is <ssl>.
type SSL struct {
	pos                            zconfig.Pos
	Certificate, Key, PasswordFile Value[string]
	Authenticate                   Value[string] // a file or a folder
}

// A TLS is <tls>.
type TLS struct {
	pos                                       zconfig.Pos
	Certificate, Key, PasswordFile, Authority Value[string]
	PeerNames                                 Value[[]string]
}

// An Admin is <admin>.
type Admin struct {
	Address           Value[endpoint.Endpoint]
	Names             Value[[]string]
	InsecurePlainText Value[bool]
	TLS               *TLS // nil: plain text
}

// A Role is what a storage is in replication.
type Role string

// The roles.
const (
	Standalone Role = "standalone"
	Primary    Role = "primary"
	Secondary  Role = "secondary" // with ReplicateTo it has secondaries of its own
)

// A Storage is one storage with what is around it.
type Storage struct {
	Name string // "1" where it has none
	Pos  zconfig.Pos
	Role Role

	Path        Value[string]
	BlobDir     Value[string] // "": no blobs
	ReadOnly    Value[bool]
	PackGC      Value[bool]
	PackKeepOld Value[bool]

	PackSchedule Value[string] // as in a crontab; empty: never
	PackDays     Value[int64]  // how many days of history such packs leave

	VerifyInterval Value[time.Duration] // 0: never
	VerifyRate     Value[int64]         // 0: no limit
	VerifyBlobs    Value[time.Duration]
	ReclaimAge     Value[time.Duration] // 0: never
	Heal           Value[string]        // auto, ask or by-role

	Archive     Archive
	Zlib        Zlib
	Replication *Replication // nil when alone
}

// An Archive says where and how a storage is archived.
type Archive struct {
	URL        Value[string] // "": it is not
	Interval   Value[time.Duration]
	Bytes      Value[int64]
	Rate       Value[int64] // bytes per second; 0: no limit
	Recipients Value[[]string]
}

// A Zlib says which records of zc.zlibstorage clients send and get.
type Zlib struct {
	Decompress bool // <zlibstorage>: they get them as they were
	Compress   bool // and they are compressed here
}

// A Replication is <zrs>.
type Replication struct {
	ReplicateTo         Value[endpoint.Endpoint]   // zero: none
	ReplicateFrom       Value[[]endpoint.Endpoint] // nil: none
	Members             Value[[]endpoint.Endpoint] // of a primary: the others that could be; nil: none
	Advertise           Value[endpoint.Endpoint]   // where others reach ReplicateTo; zero: there
	Name                Value[string]              // of the node; empty: host and data file
	SyncSecondaries     Value[Quorum]
	SyncAck             Value[string] // durable or applied
	SyncTimeout         Value[Patience]
	KeepAliveDelay      Value[time.Duration]
	Protocol            Value[string] // auto, native or zrs2
	Blobs               Value[string] // local or shared
	BlobCacheSize       Value[int64]  // bytes; 0: all blobs are here
	BlobCacheSizeCheck  Value[int64]  // percent
	BlobsStore          Value[string] // URL; "": none
	BlobsUpload         Value[string] // now or later
	BlobsStoreGrace     Value[time.Duration]
	SecretFile          Value[string]
	Coordinator         Value[string] // "": roles are changed by hand
	CoordinatorPrefix   Value[string] // "": made of the storage id
	CoordinatorTTL      Value[time.Duration]
	CoordinatorUserFile Value[string]
	InsecurePlainText   Value[bool]
	Heartbeat           Value[time.Duration]
	MaxSecondaries      Value[int64]
	MaxSeeds            Value[int64]
	SeedRate            Value[int64] // bytes per second; 0: no limit
	MaxDiffs            Value[int64] // bytes; 0: no limit
	SeedThreshold       Value[int64] // bytes; 0: never
	SeedCompress        Value[bool]
	ExpectData          Value[bool]
	Reseed              Value[string]              // ask or auto
	SeedFrom            Value[[]endpoint.Endpoint] // nil: none
	SeedArchive         Value[string]              // "": none
	Spare               Value[bool]
	SpareAfter          Value[time.Duration]
	ApplyDelay          Value[time.Duration]
	MaxPerAddress       Value[int64]
	HandshakeTimeout    Value[time.Duration]
	IdleTimeout         Value[time.Duration]
	DrainTimeout        Value[time.Duration]
	ReadyLag            Value[time.Duration]
	MaxRecord           Value[int64]
	MaxFrame            Value[int64]

	CoordinatorAuthority, CoordinatorCertificate, CoordinatorKey Value[string]

	TLS *TLS // nil: plain text
}

// A FromArchive is <from-archive>.
type FromArchive struct {
	Name                 string
	pos                  zconfig.Pos
	URL, Cache, Identity Value[string]
	Size, BlobSize, Rate Value[int64]
}

// An AsOf is <as-of>.
type AsOf struct {
	Name    string
	pos     zconfig.Pos
	Storage Value[string] // "": the only one
	At      Value[moment.Spec]
}

// An EventLog is <eventlog>.
type EventLog struct {
	Level Value[Level]
	Files []*LogFile // none: nothing is logged
}

// A LogFile is <logfile>.
type LogFile struct {
	Path       Value[string] // or STDOUT, STDERR
	Level      Value[Level]
	Format     Value[string] // with \n and \t as they are in the file
	DateFormat Value[string]
	MaxSize    Value[int64] // bytes, 0: no limit
	OldFiles   Value[int64]
}

// A Source says where a value came from.
type Source struct {
	pos    zconfig.Pos // in a file
	env    string      // the variable of the environment, where it is no file
	raw    string      // the text in the file, where references were replaced in it
	Preset bool        // it is the default
}

// String returns file:line:column, "environment NAME" or "default".
func (s Source) String() string {
	switch {
	case s.Preset:
		return "default"
	case s.env != "":
		return "environment " + s.env
	case s.raw != "":
		return s.pos.String() + " (" + s.raw + ")"
	}
	return s.pos.String()
}

// given reports whether the value was set.
func (s Source) given() bool { return !s.Preset }

// A Value is a setting and where it came from.
type Value[T any] struct {
	V    T
	from Source
}

// A Setting is a value as text, for showing it.
type Setting struct {
	Section string // types and names of the sections around it, with slashes between; "zrs main/filestorage"
	Key     string
	Text    string // as it is in the file, with references replaced; "" for none
	From    Source
}

// A Note is something in a file that is right and means nothing here.
type Note struct {
	pos  zconfig.Pos
	text string
}

func (n Note) String() string { return n.pos.String() + ": " + n.text }
