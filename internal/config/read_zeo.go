package config

import (
	"path/filepath"

	"github.com/zrsd/zrsd/internal/zconfig"
)

func (c *checker) zeo(s *zconfig.Section) *ZEO {
	r := c.read(s, zeoTable, "")
	z := &ZEO{
		pos:                      s.Pos,
		Address:                  get(r, "address", bind),
		ReadOnly:                 get(r, "read-only", boolean),
		InvalidationQueueSize:    get(r, "invalidation-queue-size", integer),
		invalidationAge:          get(r, "invalidation-age", seconds),
		TransactionTimeout:       get(r, "transaction-timeout", seconds),
		PIDFile:                  get(r, "pid-filename", pathIn),
		clientConflictResolution: get(r, "client-conflict-resolution", boolean),
		Msgpack:                  get(r, "msgpack", boolean),
		MaxClients:               r.atLeast1("max-clients"),
		MaxPerAddress:            r.atLeast1("max-per-address"),
	}
	positive(r, "invalidation-queue-size", z.InvalidationQueueSize, 0)
	if at := z.invalidationAge.from; at.given() {
		c.note(at.pos, "invalidation-age has no effect: what a client has missed is looked up in the file, however "+
			"long it was disconnected")
	}
	fromEnvironment(&z.Msgpack, "ZEO_MSGPACK", func(string) bool { return true })
	fromEnvironment(&z.PIDFile, "INSTANCE_HOME", func(home string) string {
		return filepath.Join(home, "var", "ZEO.pid")
	})
	if ssl := r.one("ssl"); ssl != nil {
		z.SSL = c.ssl(ssl, r.label)
	}
	return z
}

func (c *checker) ssl(s *zconfig.Section, around string) *SSL {
	r := c.read(s, sslTable, around)
	get(r, "password-function", text)
	ssl := &SSL{
		pos:          s.Pos,
		Certificate:  get(r, "certificate", pathIn),
		Key:          get(r, "key", pathIn),
		PasswordFile: get(r, "password-file", pathIn),
		Authenticate: get(r, "authenticate", path),
	}
	if a := ssl.Authenticate; a.V == "-" || a.V == "SIGNED" {
		r.fail(a.from.pos, "authenticate %s: zrsd does not take the operating system's authorities for clients: "+
			"name a "+
			"file or a folder of certificates", a.V)
	}
	return ssl
}

func (c *checker) admin(s *zconfig.Section) *Admin {
	r := c.read(s, adminTable, "")
	a := &Admin{
		Address: get(r, "address", bind), Names: get(r, "names", words),
		InsecurePlainText: get(r, "insecure-plain-text", boolean),
	}
	if t := r.one("tls"); t != nil {
		a.TLS = c.tls(t, r.label)
	}
	if e := a.Address; a.TLS == nil && !a.InsecurePlainText.V && !e.V.IsZero() && !e.V.Local() {
		r.fail(e.from.pos, "%v can be reached from other machines, and there is no encryption: add <tls>, use "+
			"127.0.0.1 "+
			"or a Unix socket, or accept the risk with insecure-plain-text true", e.V)
	}
	return a
}

func (c *checker) tls(s *zconfig.Section, around string) *TLS {
	r := c.read(s, tlsTable, around)
	return &TLS{
		pos:          s.Pos,
		Certificate:  get(r, "certificate", path),
		Key:          get(r, "key", path),
		PasswordFile: get(r, "password-file", path),
		Authority:    get(r, "authority", path),
		PeerNames:    get(r, "peer-names", words),
	}
}
