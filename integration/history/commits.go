package history

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/zrsd/zrsd/zodb"
)

// acknowledged judges a commit that the client was told of.
func (c *checker) acknowledged(line *Line) {
	txn, ok := c.truth.txns[line.Tid]
	if !ok {
		c.violated(Acknowledged, "transaction %v is not in the file", line.Tid)
		return
	}
	if text := differences(line.Writes, txn.Writes); text != "" {
		c.violated(Acknowledged, "transaction %v: %s", line.Tid, text)
	}
	c.claim(Acknowledged, line, txn)
}

// unknown judges a commit whose outcome the client never learned. Its values tell whether it is in the file.
func (c *checker) unknown(line *Line) {
	var tids []zodb.Tid
	unique := 0
	for oid, value := range line.Writes {
		if value != "" {
			unique++
			tids = append(tids, c.truth.written[write{oid, value}]...)
		}
	}
	slices.Sort(tids)
	tids = slices.Compact(tids)
	switch {
	case unique == 0:
		c.violated(Atomic, "nobody can tell whether a commit without values is in the file")
	case len(tids) == 0:
		c.verdict.Lost++
	case len(tids) > 1:
		c.violated(Atomic, "one commit has become the transactions %v", tids)
	default:
		c.verdict.Found++
		txn := c.truth.txns[tids[0]]
		if text := differences(line.Writes, txn.Writes); text != "" {
			c.violated(Atomic, "transaction %v is there in part: %s", txn.Tid, text)
		}
		c.claim(Atomic, line, txn)
	}
}

// claim notes who has written a transaction, and judges what it is based on.
func (c *checker) claim(rule Rule, line *Line, txn Txn) {
	if c.claims[txn.Tid] != nil {
		c.violated(rule, "transaction %v is that of another commit, too", txn.Tid)
	}
	c.claims[txn.Tid] = line
	if line.Key != "" {
		c.verdict.Keys[line.Key] = true
	}
	for oid, read := range line.Reads {
		replaced := c.truth.replaced(oid, txn.Tid)
		if read != replaced && !slices.Contains(line.Resolved, oid) {
			c.violated(LostUpdate, "transaction %v, oid %v: it replaced the revision %v, the client had read %v",
				txn.Tid, oid, replaced, read)
		}
	}
}

// differences returns how the transaction in the file is not what was written, or nothing.
func differences(want, got map[zodb.Oid]string) string {
	for oid, value := range want {
		switch there, ok := got[oid]; {
		case !ok:
			return fmt.Sprintf("it lacks oid %v", oid)
		case value != "" && there != value:
			return fmt.Sprintf("oid %v has the value %q, written was %q", oid, there, value)
		}
	}
	for oid := range got {
		if _, ok := want[oid]; !ok {
			return fmt.Sprintf("it has oid %v, which was not written", oid)
		}
	}
	return ""
}

// unclaimed looks for transactions that nobody has written.
func (c *checker) unclaimed() {
	c.client = ""
	for _, tid := range c.truth.tids() {
		if c.claims[tid] == nil {
			c.violated(Invented, "no client has written transaction %v", tid)
		}
	}
}

// counters adds up what was added.
func (c *checker) counters() {
	c.client = ""
	sums := map[zodb.Oid]int64{}
	for _, tid := range c.truth.tids() {
		line := c.claims[tid]
		if line == nil {
			continue
		}
		for oid, added := range line.Adds {
			sums[oid] += added
			if got := c.truth.txns[tid].Writes[oid]; got != strconv.FormatInt(sums[oid], 10) {
				c.violated(Counter, "oid %v is %s after transaction %v, and %d were added", oid, got, tid, sums[oid])
			}
		}
	}
}

// countKeys collects the transactions that have added a key.
func (c *checker) countKeys() {
	for _, tid := range c.truth.tids() {
		if line := c.claims[tid]; line != nil && line.Key != "" {
			c.adding = append(c.adding, tid)
		}
	}
}
