package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/internal/config"
	"github.com/zrsd/zrsd/internal/eventlog"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zeo"
)

// process turns a configuration into what node runs.
func process(cfg *config.Config, log hclog.Logger, reloads *node.Reloads) node.Process {
	p := node.Process{Shared: node.Config{Logger: log, Reloads: reloads, AdminBeside: true}}
	if a := cfg.Admin; a != nil {
		p.Shared.Admin, p.Shared.AdminTLS = a.Address.V, trustFiles(a.TLS)
		p.Shared.AdminNames = a.Names.V
		p.Shared.InsecurePlainText = a.InsecurePlainText.V
	}
	if cfg.ZEO != nil {
		p.ZEO = zeoConfig(cfg.ZEO, log)
	}
	add := func(one node.Storage) {
		for _, m := range cfg.Moments(one.Name) {
			c := one.Common()
			c.Moments = append(c.Moments, node.MomentConfig{Name: m.Name, At: m.At.V})
		}
		p.Storages = append(p.Storages, one)
	}
	for _, st := range cfg.Storages {
		add(storage(st))
	}
	for _, a := range cfg.Archives {
		add(fromArchive(a))
	}
	return p
}

// fromArchive is an archive of which clients read moments.
func fromArchive(a *config.FromArchive) node.Storage {
	return node.Storage{Name: a.Name, Standalone: &node.StandaloneConfig{
		Config: node.Config{
			Data: a.Data(), Blobs: filepath.Join(a.Cache.V, "blobs"),
			BlobPlaces: node.BlobConfig{CacheSize: a.BlobSize.V},
		},
		ReadOnly: true, OnlyMoments: true,
		From: node.FromArchive{URL: a.URL.V, Identity: a.Identity.V, Size: a.Size.V, Rate: a.Rate.V,
			Patient: true},
	}}
}

// zeoConfig says where clients are served.
func zeoConfig(z *config.ZEO, log hclog.Logger) *node.ZEOConfig {
	out := &node.ZEOConfig{Address: z.Address.V, Options: zeo.Options{
		Msgpack: z.Msgpack.V, ReadOnly: z.ReadOnly.V, Recent: int(z.InvalidationQueueSize.V),
		MaxClients: int(z.MaxClients.V), MaxUnregistered: int(z.MaxPerAddress.V),
		TransactionTimeout: z.TransactionTimeout.V, Logger: log.ResetNamed("ZEO.StorageServer"),
		Critical: func(log hclog.Logger, text string) {
			log.Error(text, eventlog.Severity, eventlog.Critical, "warning", warning.ClientTimeout)
		},
	}}
	if ssl := z.SSL; ssl != nil {
		out.TLS = &tlsauth.Files{
			Certificate: ssl.Certificate.V, Key: ssl.Key.V, PasswordFile: ssl.PasswordFile.V,
			Authority: ssl.Authenticate.V,
		}
	}
	return out
}

func storage(st *config.Storage) node.Storage {
	out := node.Storage{Name: st.Name}
	common := node.Config{
		Data: st.Path.V, Blobs: st.BlobDir.V, PackNoGC: !st.PackGC.V, PackNoOld: !st.PackKeepOld.V,
		Decompress: st.Zlib.Decompress, Compress: st.Zlib.Compress,
		Verify: node.VerifyConfig{
			Interval: st.VerifyInterval.V, Rate: st.VerifyRate.V, Blobs: st.VerifyBlobs.V, ReclaimAge: st.ReclaimAge.V,
		},
		Archive: node.ArchiveConfig{
			URL: st.Archive.URL.V, Interval: st.Archive.Interval.V, Bytes: st.Archive.Bytes.V, Rate: st.Archive.Rate.V,
			Recipients: st.Archive.Recipients.V,
		},
		Heal: st.Heal.V, PackSchedule: st.PackSchedule.V, PackDays: int(st.PackDays.V),
	}
	if st.Role == config.Standalone {
		out.Standalone = &node.StandaloneConfig{Config: common, ReadOnly: st.ReadOnly.V}
		return out
	}
	z := st.Replication
	common.SharedBlobs = z.Blobs.V == "shared"
	common.BlobPlaces = node.BlobConfig{
		CacheSize: z.BlobCacheSize.V, CacheCheck: int(z.BlobCacheSizeCheck.V), Store: z.BlobsStore.V,
		Upload: z.BlobsUpload.V, Grace: z.BlobsStoreGrace.V,
	}
	common.ReplicateTo = z.ReplicateTo.V
	common.Advertise, common.Name = z.Advertise.V, z.Name.V
	common.Sync = cluster.SyncConfig{
		Required: z.SyncSecondaries.V.Required, Names: z.SyncSecondaries.V.Names, Ack: z.SyncAck.V,
		Timeout: z.SyncTimeout.V.Timeout, OnTimeout: cluster.SyncBlock,
	}
	if z.SyncTimeout.V.Degrade {
		common.Sync.OnTimeout = cluster.SyncDegrade
	}
	common.TLS = trustFiles(z.TLS)
	common.SecretFile = z.SecretFile.V
	common.Coordinator = coordinatorOf(z)
	common.InsecurePlainText = z.InsecurePlainText.V
	common.Heartbeat = z.Heartbeat.V
	common.MaxSecondaries = int(z.MaxSecondaries.V)
	common.MaxSeeds, common.SeedRate = int(z.MaxSeeds.V), z.SeedRate.V
	common.SeedThreshold, common.Reseed = z.SeedThreshold.V, z.Reseed.V
	common.ExpectData, common.MaxDiffs = z.ExpectData.V, z.MaxDiffs.V
	common.SeedCompress = z.SeedCompress.V
	common.MaxPerAddress = int(z.MaxPerAddress.V)
	common.HandshakeTimeout, common.IdleTimeout = z.HandshakeTimeout.V, z.IdleTimeout.V
	common.DrainTimeout = z.DrainTimeout.V
	if st.Role == config.Primary {
		out.Primary = &node.PrimaryConfig{Config: common, Create: true, ReplicateFrom: z.Members.V}
		return out
	}
	out.Secondary = &node.SecondaryConfig{
		Config: common, ReplicateFrom: z.ReplicateFrom.V, Protocol: secondary.Protocol(z.Protocol.V),
		KeepAliveDelay: z.KeepAliveDelay.V, ReadyLag: z.ReadyLag.V, MaxRecord: z.MaxRecord.V,
		MaxFrame: z.MaxFrame.V, SeedFrom: z.SeedFrom.V, Spare: z.Spare.V, SpareAfter: z.SpareAfter.V,
		ApplyDelay:  z.ApplyDelay.V,
		SeedArchive: z.SeedArchive.V,
	}
	return out
}

func coordinatorOf(z *config.Replication) *node.CoordinatorConfig {
	if z.Coordinator.V == "" {
		return nil
	}
	r := &node.CoordinatorConfig{
		Address:  z.Coordinator.V,
		Prefix:   z.CoordinatorPrefix.V,
		TTL:      z.CoordinatorTTL.V,
		UserFile: z.CoordinatorUserFile.V,
	}
	tls := tlsauth.Files{
		Certificate: z.CoordinatorCertificate.V,
		Key:         z.CoordinatorKey.V,
		Authority:   z.CoordinatorAuthority.V,
	}
	if tls.Certificate+tls.Key+tls.Authority != "" {
		r.TLS = &tls
	}
	return r
}

func trustFiles(t *config.TLS) *tlsauth.Files {
	if t == nil {
		return nil
	}
	return &tlsauth.Files{Certificate: t.Certificate.V, Key: t.Key.V, PasswordFile: t.PasswordFile.V,
		Authority: t.Authority.V, Peers: t.PeerNames.V}
}

// withPIDFile runs a server with its process id in a file. As with runzeo, one that cannot be written is logged, and a
// server that only reads writes none.
func withPIDFile(z *config.ZEO, log hclog.Logger, run func() error) error {
	if z == nil || z.PIDFile.V == "" || z.ReadOnly.V {
		return run()
	}
	path := z.PIDFile.V
	if err := writePID(path); err != nil {
		log.Error("cannot write the pid file", "error", err, "warning", warning.FilesWrong)
		return run()
	}
	log.Info("created the pid file", "file", path)
	defer func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Error("cannot remove the pid file", "error", err, "warning", warning.FilesWrong)
		}
	}()
	return run()
}

func writePID(path string) error {
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}
