package config

// A table describes one type of section.
type table struct {
	typ      string // as in <typ>, "" for the file itself
	doc      string
	named    bool // <typ NAME> is possible
	keys     []entry
	sections []string          // types that may be inside
	gone     map[string]string // keys and sections that it had once, or has elsewhere: what to do instead
}

// An entry describes one key.
type entry struct {
	name     string
	kind     string // name of a kind
	preset   string // the text of the default; "" for none
	required bool
	ours     bool // neither ZEO nor zc.zrs knows it
	doc      string
	// refused says why no value but the default can be honoured, and what to do instead. Empty: every value is.
	refused string
}

// storageTypes are the sections that are storages.
var storageTypes = []string{"filestorage", "blobstorage", "zlibstorage", "serverzlibstorage", "zrs"}

// tables are all sections, in the order of the reference.
var tables = []*table{fileTable, zeoTable, sslTable, filestorageTable, blobstorageTable, zlibTable,
	serverZlibTable, zrsTable, asOfTable, fromArchiveTable, tlsTable, adminTable, eventlogTable, logfileTable,
	runnerTable}

func tableOf(typ string) *table {
	for _, t := range tables {
		if t.typ == typ {
			return t
		}
	}
	return nil
}

func (t *table) entry(name string) *entry {
	for i := range t.keys {
		if t.keys[i].name == name {
			return &t.keys[i]
		}
	}
	return nil
}

const onlyFileStorages = "zrsd serves FileStorages only: use <filestorage>, or leave this storage to runzeo"

var fileTable = &table{
	doc: "A file has these sections. `%import` is accepted for the packages whose sections are known here: " +
		"`zc.zrs`, `zc.zlibstorage`, " +
		"`ZEO`, `ZODB`, `zdaemon` and `ZConfig.components.logger`.",
	sections: append([]string{"zeo", "as-of", "from-archive", "admin", "eventlog", "runner"}, storageTypes...),
	gone: map[string]string{
		"logger":           "only <eventlog> is known to runzeo and zrsd: move its <logfile> there",
		"mappingstorage":   onlyFileStorages,
		"demostorage":      onlyFileStorages,
		"clientstorage":    onlyFileStorages,
		"zeoclient":        onlyFileStorages,
		"relstorage":       onlyFileStorages,
		"beforestorage":    onlyFileStorages,
		"temporarystorage": onlyFileStorages,
		"primary": "it is a section of ZRS 1: write <zrs 1> with replicate-to HOST:PORT, where secondaries " +
			"connect, around " +
			"the <filestorage>",
		"secondary": "it is a section of ZRS 1: write <zrs 1> with replicate-from HOST:PORT, where the primary " +
			"listens, " +
			"around the <filestorage>",
		"cipherstorage": onlyFileStorages,
		"environment":   "set the environment where zrsd is started",
	},
}

// knownPackages are the packages that bring the sections of the tables.
var knownPackages = []string{"zc.zrs", "zc.zlibstorage", "ZEO", "ZODB", "zdaemon", "ZConfig.components.logger"}
