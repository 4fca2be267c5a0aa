package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
	"github.com/zrsd/zrsd/internal/warning"
)

// warnEvery is how often it is looked for warnings that begin or end, for the log.
const warnEvery = 5 * time.Second

// logWarnings logs when warnings begin and end, until ctx ends.
func (m *member) logWarnings(ctx context.Context) {
	log := warning.NewLog(m.c.Logger)
	tick := time.NewTicker(warnEvery)
	defer tick.Stop()
	for {
		log.Look(m.status.Status().Warnings, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// showWarnings adds what an operator should know: what the document says, and what only the node's settings do.
func (f *nodeStatus) showWarnings(st *admin.Status) {
	found := st.Conditions()
	for _, c := range f.configs {
		for _, one := range c.conditions(st.Now) {
			if !slices.Contains(found, one) { // what all storages share is in the settings of each
				found = append(found, one)
			}
		}
	}
	st.Warnings = f.warnings.Update(found, st.Now)
}

// conditions are what is wrong with the settings and the files that they name.
func (c *Config) conditions(now time.Time) (list []warning.Condition) {
	add := func(code warning.Code, about, format string, args ...any) {
		list = append(list, warning.Condition{Code: code, About: about, Text: fmt.Sprintf(format, args...)})
	}
	for _, one := range []struct {
		what   string
		loaded *tlsauth.Credentials
	}{
		{"replication", c.read.servers}, {"the admin server", c.read.admin}, {"the coordinator", c.read.coordinator},
		{"ZEO clients", c.zeo.credentials()},
	} {
		if one.loaded == nil || one.loaded.Certificate() == nil {
			continue
		}
		switch end := one.loaded.Certificate().NotAfter; {
		case !now.Before(end):
			add(warning.CertificateExpired, one.what, "the certificate for %s expired at %s", one.what, utc(end))
		case end.Sub(now) < expiresSoon:
			add(warning.CertificateExpires, one.what, "the certificate for %s expires at %s", one.what, utc(end))
		}
	}
	if c.read.exposed {
		add(warning.SecretExposed, "", "every user on this machine can read the shared secret in %s", c.SecretFile)
	}
	if c.clients != nil {
		if n, limit := c.clients(); n >= limit-limit/10 {
			add(warning.ManyClients, "", "%d clients are connected of the %d that may be", n, limit)
		}
	}
	if z := c.zeo; z != nil && z.TLS == nil && isOpen(z.Address) {
		add(warning.PlainZEO, "", "clients are served in plain text at %v, which other machines can reach", z.Address)
	}
	if c.TLS == nil && isOpen(c.ReplicateTo) {
		add(warning.PlainReplication, "", "secondaries are served in plain text at %v", c.ReplicateTo)
	}
	if c.AdminTLS == nil && isOpen(c.Admin) {
		add(warning.PlainAdmin, "", "the admin server answers in plain text at %v", c.Admin)
	}
	return list
}

// isOpen reports whether other machines can reach what listens there.
func isOpen(e endpoint.Endpoint) bool { return !e.IsZero() && !e.Local() }

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Conditions returns what is wrong with the settings of a process, before it is started. The error is that of Check.
func Conditions(p Process, now time.Time) (list []warning.Condition, err error) {
	members, err := p.members()
	if err != nil {
		return nil, err
	}
	release, err := loadAll(&p.Shared, members)
	if err != nil {
		return nil, err
	}
	defer release()
	for _, m := range members {
		for _, one := range append(m.c.conditions(now), p.Shared.conditions(now)...) {
			if !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	return list, nil
}

// Settings returns what all roles have in common.
func (s *Storage) Settings() *Config {
	switch {
	case s.Primary != nil:
		return &s.Primary.Config
	case s.Secondary != nil:
		return &s.Secondary.Config
	}
	return &s.Standalone.Config
}
