package filestorage

import (
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// tellOddities logs what is unusual about the file as a whole, and what it means for those who use it.
func (s *Storage) tellOddities() {
	end, last := s.get()
	if ahead := last.Time().Sub(s.now()); last != 0 && ahead > futureTolerance {
		s.log.Warn(
			"the last transaction is in the future: this machine's clock is slow, or the writer's clock was fast. "+
				"Until that time new tids only count up and carry no time, and a pack by time keeps more than "+
				"asked for; check the clock (timedatectl), and do not use a node with such a clock for failover",
			"file",
			s.path,
			"tid",
			last,
			"time",
			last.Time().UTC().Format(time.RFC3339),
			"ahead_by",
			ahead.Round(time.Second).String(),
		)
	}
	if s.magic == zodb.MagicFS21 && end > magicLen {
		s.log.Warn(
			"this file was written by Python 2 (magic FS21). It is served and replicated as it is, but clients of "+
				"Python 3 "+
				"read its str as text where it is ASCII and as bytes elsewhere, fail where classes have moved, and "+
				"do not follow "+
				"references whose oid has a byte of 0x80 or above; what they write Python 2 cannot read; and "+
				"Python 3 itself refuses to "+
				"open the file. Convert it first: zodbverify, then zodbupdate --convert-py3, with no server running",
			"file",
			s.path,
		)
	}
}

// futureTolerance is how far clocks of machines that are in order may be apart.
const futureTolerance = time.Second
