package zeo

import "strings"

// olderReleases are the releases of ZEO by the protocol that their clients choose at best.
var olderReleases = []struct{ protocol, release string }{
	{
		"4",
		"ZEO 4",
	},
	{"3101", "ZEO 3.10"},
	{"310", "ZEO 3.10"},
	{"309", "ZODB 3.9"},
	{"308", "ZODB 3.8"},
	{"303", "ZODB 3.3"},
	{"2", "ZODB 3.2"},
}

// olderClient explains the answer of a client that is too old, for the log: its users see a client that never connects.
func olderClient(answer string) string {
	version, isOne := strings.CutPrefix(answer, "Z")
	if !isOne {
		return ""
	}
	for _, old := range olderReleases {
		if version == old.protocol || old.protocol == "2" && len(version) == 3 && version[0] == '2' {
			return ": it is of " + old.release + ", which does not speak protocol 5; upgrade ZEO in this client to " +
				"5.4 (the last " +
				"one for Python 2) or 6, with the ZODB that goes with it. The data stay as they are; runzeo of ZEO " +
				"5 and 6 refuses " +
				"such clients, too"
		}
	}
	return ""
}
