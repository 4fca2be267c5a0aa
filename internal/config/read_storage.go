package config

import (
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/zconfig"
)

// storage reads <filestorage>, <blobstorage>, <zlibstorage>, <serverzlibstorage> or <zrs>.
func (c *checker) storage(s *zconfig.Section) *Storage {
	st := &Storage{Role: Standalone}
	switch s.Type {
	case "zrs":
		c.zrs(s, st)
	default:
		c.files(s, st, "")
	}
	st.Pos, st.Name = s.Pos, s.Name
	return st
}

// files reads a storage without replication.
func (c *checker) files(s *zconfig.Section, st *Storage, around string) {
	switch s.Type {
	case "zlibstorage", "serverzlibstorage":
		c.zlibstorage(s, st, around)
	case "blobstorage":
		c.blobstorage(s, st, around)
	default:
		c.filestorage(s, st, around)
	}
}

func (c *checker) zlibstorage(s *zconfig.Section, st *Storage, around string) {
	r := c.read(s, tableOf(s.Type), around)
	compress := get(r, "compress", boolean)
	if s.Type == "zlibstorage" {
		st.Zlib = Zlib{Decompress: true, Compress: compress.V}
	}
	inner := r.one("filestorage", "blobstorage")
	if inner == nil {
		r.missing("<" + s.Type + "> needs a <filestorage> or a <blobstorage> inside")
		return
	}
	c.files(inner, st, r.label)
}

func (c *checker) filestorage(s *zconfig.Section, st *Storage, around string) {
	r := c.read(s, filestorageTable, around)
	st.Path = cleaned(get(r, "path", pathIn))
	if blobs := cleaned(get(r, "blob-dir", pathIn)); st.BlobDir.V == "" {
		st.BlobDir = blobs
	} else if blobs.V != "" {
		r.fail(blobs.from.pos, "blob-dir: <blobstorage> has one already: leave one of them out")
	}
	get(r, "create", boolean)
	st.ReadOnly = get(r, "read-only", boolean)
	get(r, "quota", size)
	get(r, "packer", text)
	st.PackGC = get(r, "pack-gc", boolean)
	st.PackKeepOld = get(r, "pack-keep-old", boolean)
	st.PackSchedule = get(r, "pack-schedule", schedule)
	st.PackDays = get(r, "pack-days", integer)
	st.VerifyInterval = get(r, "verify-interval", interval)
	st.VerifyRate = get(r, "verify-rate", size)
	st.VerifyBlobs = get(r, "verify-blobs", interval)
	st.ReclaimAge = get(r, "reclaim-age", interval)
	st.Heal = get(r, "heal", oneOf("by-role", "auto", "ask"))
	st.Archive = r.archive()
	if url := st.Archive.URL; url.V != "" && st.ReadOnly.V {
		r.fail(url.from.pos, "archive: a storage that is read-only is archived where it is written: leave it out")
	}
}

func (c *checker) blobstorage(s *zconfig.Section, st *Storage, around string) {
	r := c.read(s, blobstorageTable, around)
	st.BlobDir = cleaned(get(r, "blob-dir", path))
	inner := r.one("filestorage")
	if inner == nil {
		r.missing("<blobstorage> needs a <filestorage> inside")
		return
	}
	c.filestorage(inner, st, r.label)
}

func (c *checker) zrs(s *zconfig.Section, st *Storage) {
	r := c.read(s, zrsTable, "")
	z := r.replication()
	st.Replication = z
	switch {
	case z.ReplicateFrom.from.given():
		st.Role = Secondary
	case z.ReplicateTo.from.given():
		st.Role = Primary
	default:
		r.fail(s.Pos, "<zrs> needs replicate-to, replicate-from, or both")
	}
	if inner := r.one("filestorage", "blobstorage", "zlibstorage", "serverzlibstorage"); inner == nil {
		r.missing("<zrs> needs a <filestorage> or a <blobstorage> inside")
	} else {
		c.files(inner, st, r.label)
	}
	if a := r.archive(); a.URL.V != "" {
		if st.Archive.URL.V != "" {
			r.fail(a.URL.from.pos, "archive: <filestorage> has one already: leave one of them out")
		}
		st.Archive = a
	}
	if t := r.one("tls"); t != nil {
		z.TLS = c.tls(t, r.label)
		if z.TLS.Authority.V == "" {
			r.fail(t.Pos, "<tls> in <zrs> needs an authority: both sides prove who they are")
		}
	}
	r.checkReplication(z, st)
}

func (r *reader) replication() *Replication {
	return &Replication{
		ReplicateTo:         get(r, "replicate-to", bind),
		ReplicateFrom:       get(r, "replicate-from", connect),
		Members:             get(r, "members", connect),
		Advertise:           get(r, "advertise", bind),
		Name:                get(r, "name", text),
		SyncSecondaries:     get(r, "sync-secondaries", quorum),
		SyncAck:             get(r, "sync-ack", oneOf("durable", "applied")),
		SyncTimeout:         get(r, "sync-timeout", patience),
		KeepAliveDelay:      get(r, "keep-alive-delay", seconds),
		Protocol:            get(r, "protocol", oneOf("auto", "native", "zrs2")),
		Blobs:               get(r, "blobs", oneOf("local", "shared")),
		BlobCacheSize:       get(r, "blob-cache-size", size),
		BlobCacheSizeCheck:  r.atLeast1("blob-cache-size-check"),
		BlobsStore:          get(r, "blobs-store", text),
		BlobsUpload:         get(r, "blobs-upload", oneOf("now", "later")),
		BlobsStoreGrace:     get(r, "blobs-store-grace", interval),
		SecretFile:          get(r, "secret-file", path),
		Coordinator:         get(r, "coordinator", text),
		CoordinatorPrefix:   get(r, "coordinator-prefix", text),
		CoordinatorTTL:      r.above("coordinator-ttl"),
		CoordinatorUserFile: get(r, "coordinator-user-file", path),
		InsecurePlainText:   get(r, "insecure-plain-text", boolean),
		Heartbeat:           r.above("heartbeat"),
		MaxSecondaries:      r.atLeast1("max-secondaries"),
		MaxSeeds:            r.atLeast1("max-seeds"),
		SeedRate:            get(r, "seed-rate", size),
		MaxDiffs:            get(r, "max-diffs", size),
		SeedThreshold:       get(r, "seed-threshold", size),
		SeedCompress:        get(r, "seed-compress", boolean),
		ExpectData:          get(r, "expect-data", boolean),
		Reseed:              get(r, "reseed", oneOf("ask", "auto")),
		SeedFrom:            get(r, "seed-from", connect),
		SeedArchive:         get(r, "seed-archive", text),
		Spare:               get(r, "spare", boolean),
		SpareAfter:          r.above("spare-after"),
		ApplyDelay:          get(r, "apply-delay", interval),
		MaxPerAddress:       r.atLeast1("max-per-address"),
		HandshakeTimeout:    r.above("handshake-timeout"),
		IdleTimeout:         r.above("idle-timeout"),
		DrainTimeout:        r.above("drain-timeout"),
		ReadyLag:            r.above("ready-lag"),
		MaxRecord:           get(r, "max-record", size),
		MaxFrame:            get(r, "max-frame", size),

		CoordinatorAuthority:   get(r, "coordinator-authority", path),
		CoordinatorCertificate: get(r, "coordinator-certificate", path),
		CoordinatorKey:         get(r, "coordinator-key", path),
	}
}

// archive reads what says where and how a storage is archived.
func (r *reader) archive() Archive {
	a := Archive{
		URL: get(r, "archive", text), Interval: r.above("archive-interval"), Bytes: get(r, "archive-bytes", size),
		Rate: get(r, "archive-rate", size), Recipients: get(r, "archive-recipients", words),
	}
	for name, key := range r.keys {
		if a.URL.V == "" && strings.HasPrefix(name, "archive-") {
			r.fail(key.Pos, "%s: there is no archive: give its URL in this section", name)
		}
	}
	return a
}

// above reads a time that must be above zero.
func (r *reader) above(name string) Value[time.Duration] {
	v := get(r, name, interval)
	if v.V <= 0 {
		r.fail(v.from.pos, "%s: a time above zero is needed, such as 5s", name)
	}
	return v
}

func (r *reader) atLeast1(name string) Value[int64] {
	v := get(r, name, integer)
	positive(r, name, v, 1)
	return v
}

// checkReplication looks at what fits together in <zrs>.
func (r *reader) checkReplication(z *Replication, st *Storage) {
	positive(r, "max-record", z.MaxRecord, 1)
	positive(r, "max-frame", z.MaxFrame, 1)
	if z.Coordinator.V != "" && z.ReplicateTo.V.IsZero() {
		r.fail(z.Coordinator.from.pos, "coordinator: a node that may become primary needs replicate-to")
	}
	if st.ReadOnly.V {
		r.fail(st.ReadOnly.from.pos, "read-only: a storage in <zrs> writes: leave it out")
	}
	if z.Blobs.V == "shared" {
		switch {
		case st.Role == Primary:
			r.fail(z.Blobs.from.pos, "blobs shared: a primary owns its blobs: it is a setting of its secondaries")
		case st.BlobDir.V == "":
			r.fail(z.Blobs.from.pos, "blobs shared: name the primary's blob directory, as it is mounted here, as "+
				"blob-dir")
		}
	}
	if st.Role == Primary && z.Protocol.from.given() {
		r.fail(z.Protocol.from.pos, "protocol: a primary speaks both: it is a setting of secondaries")
	}
	for _, from := range z.ReplicateFrom.V {
		if from == z.ReplicateTo.V {
			r.fail(z.ReplicateFrom.from.pos, "replicate-from and replicate-to are the same address")
		}
	}
	r.checkPlainText(z)
}

func (r *reader) checkPlainText(z *Replication) {
	if z.TLS != nil || z.InsecurePlainText.V {
		return
	}
	const instead = "add <tls>, use 127.0.0.1 or a Unix socket (and a tunnel), or accept the risk with " +
		"insecure-plain-text true"
	if e := z.ReplicateTo; !e.V.IsZero() && !e.V.Local() {
		r.fail(e.from.pos, "%v can be reached from other machines, and there is no encryption: %s", e.V, instead)
	}
	for _, others := range []Value[[]endpoint.Endpoint]{z.ReplicateFrom, z.SeedFrom} {
		for _, e := range others.V {
			if !e.Local() {
				r.fail(others.from.pos, "%v is another machine, and there is no encryption: %s", e, instead)
			}
		}
	}
}
