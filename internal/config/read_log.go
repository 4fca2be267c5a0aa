package config

import (
	"fmt"

	"github.com/zrsd/zrsd/internal/eventlog"
	"github.com/zrsd/zrsd/internal/zconfig"
)

func (c *checker) eventlog(s *zconfig.Section) *EventLog {
	r := c.read(s, eventlogTable, "")
	log := &EventLog{Level: get(r, "level", level)}
	for _, sub := range s.Sections {
		if sub.Type == "logfile" {
			log.Files = append(log.Files, c.logfile(sub, r.label))
		}
	}
	if len(log.Files) == 0 {
		c.note(s.Pos, "<eventlog> without <logfile>: nothing is logged")
	}
	return log
}

func (c *checker) logfile(s *zconfig.Section, around string) *LogFile {
	r := c.read(s, logfileTable, around)
	f := &LogFile{
		Path:       get(r, "path", path),
		Level:      get(r, "level", level),
		Format:     get(r, "format", kind[string]{"string", readFormat}),
		DateFormat: get(r, "dateformat", kind[string]{"string", readDateFormat}),
		MaxSize:    get(r, "max-size", size),
		OldFiles:   get(r, "old-files", integer),
	}
	get(r, "when", text)
	get(r, "interval", integer)
	get(r, "encoding", oneOf("utf-8", "UTF-8", "utf8"))
	get(r, "delay", boolean)
	get(r, "style", oneOf("classic"))
	get(r, "arbitrary-fields", boolean)
	get(r, "formatter", oneOf("logging.Formatter", "zope.exceptions.log.Formatter"))
	positive(r, "max-size", f.MaxSize, 0)
	positive(r, "old-files", f.OldFiles, 0)
	switch std := f.Path.V == "STDOUT" || f.Path.V == "STDERR"; {
	case std && (f.MaxSize.V > 0 || f.OldFiles.V > 0):
		r.fail(f.Path.from.pos, "%s has no size: leave out max-size and old-files", f.Path.V)
	case f.MaxSize.V > 0 && f.OldFiles.V == 0:
		r.fail(f.MaxSize.from.pos, "max-size needs old-files: how many files to keep")
	case f.OldFiles.V > 0 && f.MaxSize.V == 0:
		r.fail(f.OldFiles.from.pos, "old-files needs max-size: when to move the file")
	}
	return f
}

func readFormat(s string) (string, error) {
	if _, err := eventlog.ParseFormat(s); err != nil {
		return "", fmt.Errorf("%w", err)
	}
	return s, nil
}

func readDateFormat(s string) (string, error) {
	if _, err := eventlog.ParseDate(s); err != nil {
		return "", fmt.Errorf("%w", err)
	}
	return s, nil
}

// runner explains what was meant for zdaemon.
func (c *checker) runner(s *zconfig.Section) {
	r := c.read(s, runnerTable, "")
	c.note(s.Pos, "<runner> is for zdaemon and means nothing to zrsd, which stays in the foreground:")
	for i := range runnerTable.keys {
		e := &runnerTable.keys[i]
		get(r, e.name, text)
		if k, found := r.keys[e.name]; found {
			c.note(k.Pos, "%s %s: %s", e.name, k.Value, e.doc)
		}
	}
	if inner := r.one("eventlog"); inner != nil {
		c.eventlog(inner)
		c.note(inner.Pos, "<eventlog> in <runner>: the log of zdaemon, not of zrsd")
	}
}
