package conflict

import "github.com/zrsd/zrsd/internal/pickle"

// An entry is a key of a bucket with its value; sets have none.
type entry struct{ key, value pickle.Value }

// A merger merges what two transactions made of the entries of a bucket.
type merger struct {
	ordering
	set                  bool // there are no values
	old, committed, sent cursor
	out                  []entry
}

// A cursor is where the merger is in one of the lists, which are in the order of their keys.
type cursor struct {
	entries []entry
	at      int
}

func (c *cursor) active() bool { return c.at < len(c.entries) }
func (c *cursor) entry() entry { return c.entries[c.at] }

// merge returns what the bucket has to be so that both transactions hold. It gives up where the two touched the same
// key, unless both made the same of its value; where one of them deleted the first key, as far as that is seen, since
// that may have changed the tree above; and where the bucket was or becomes empty, which takes it out of its tree.
func (m *merger) merge() ([]entry, error) {
	if len(m.committed.entries) == 0 || len(m.sent.entries) == 0 {
		return nil, unresolved("a bucket was emptied")
	}
	for _, phase := range []func() error{m.all, m.added, m.rest(&m.committed), m.rest(&m.sent)} {
		if err := phase(); err != nil {
			return nil, err
		}
	}
	if m.old.active() {
		return nil, unresolved("both deleted the key %s", shown(m.old.entry().key))
	}
	m.out = append(m.out, m.committed.entries[m.committed.at:]...)
	m.out = append(m.out, m.sent.entries[m.sent.at:]...)
	if len(m.out) == 0 {
		return nil, unresolved("together they deleted all keys")
	}
	return m.out, nil
}

func (m *merger) take(c *cursor) {
	m.out = append(m.out, c.entry())
	c.at++
}

// all merges while every list has entries.
func (m *merger) all() error {
	for m.old.active() && m.committed.active() && m.sent.active() {
		toCommitted, err := m.compare(m.old.entry().key, m.committed.entry().key)
		if err != nil {
			return err
		}
		toSent, err := m.compare(m.old.entry().key, m.sent.entry().key)
		if err != nil {
			return err
		}
		switch {
		case toCommitted == 0 && toSent == 0:
			err = m.kept()
		case toCommitted == 0:
			err = m.oneSided(&m.committed, &m.sent, toSent)
		case toSent == 0:
			err = m.oneSided(&m.sent, &m.committed, toCommitted)
		default:
			err = m.neither(toCommitted, toSent)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// kept merges a key that all three have: at most one transaction may have changed its value.
func (m *merger) kept() error {
	changed := &m.sent
	unchanged, err := m.sameValue(&m.committed)
	if err == nil && !unchanged {
		changed = &m.committed
		if unchanged, err = m.sameValue(&m.sent); err == nil && !unchanged {
			err = unresolved("both changed the value of %s", shown(m.old.entry().key))
		}
	}
	if err != nil {
		return err
	}
	m.out = append(m.out, changed.entry())
	m.old.at++
	m.committed.at++
	m.sent.at++
	return nil
}

// sameValue reports whether the entry at c has the value of the old one.
func (m *merger) sameValue(c *cursor) (bool, error) {
	if m.set {
		return true, nil
	}
	order, err := m.compare(m.old.entry().value, c.entry().value)
	return order == 0, err
}

// oneSided merges where one transaction still has the old key and the other has a different one instead: inserted
// before it, or left after the old one was deleted.
func (m *merger) oneSided(keeps, differs *cursor, toDiffers int) error {
	if toDiffers > 0 {
		m.take(differs)
		return nil
	}
	if err := m.deleted(keeps); err != nil {
		return err
	}
	if differs.at == 0 {
		return unresolved("the first key was deleted, which may have changed the tree")
	}
	m.old.at++
	keeps.at++
	return nil
}

// deleted makes sure that the transaction that still has the old key left its value alone.
func (m *merger) deleted(keeps *cursor) error {
	unchanged, err := m.sameValue(keeps)
	if err == nil && !unchanged {
		err = unresolved("one deleted the key %s, the other changed its value", shown(m.old.entry().key))
	}
	return err
}

// neither merges where both have another key at the place of the old one.
func (m *merger) neither(toCommitted, toSent int) error {
	between, err := m.compare(m.committed.entry().key, m.sent.entry().key)
	switch {
	case err != nil:
		return err
	case between == 0:
		return unresolved("both inserted the key %s, or deleted what was before it", shown(m.sent.entry().key))
	case toCommitted > 0 && between < 0:
		m.take(&m.committed)
	case toCommitted > 0, toSent > 0:
		m.take(&m.sent)
	default:
		return unresolved("both deleted the key %s", shown(m.old.entry().key))
	}
	return nil
}

// added merges what both inserted after the last old key.
func (m *merger) added() error {
	for m.committed.active() && m.sent.active() {
		order, err := m.compare(m.committed.entry().key, m.sent.entry().key)
		switch {
		case err != nil:
			return err
		case order == 0:
			return unresolved("both inserted the key %s", shown(m.sent.entry().key))
		case order > 0:
			m.take(&m.sent)
		default:
			m.take(&m.committed)
		}
	}
	return nil
}

// rest merges while the old list and one of the others have entries: the other transaction deleted what is left.
func (m *merger) rest(c *cursor) func() error {
	return func() error {
		for m.old.active() && c.active() {
			order, err := m.compare(m.old.entry().key, c.entry().key)
			switch {
			case err != nil:
				return err
			case order > 0:
				m.take(c)
				continue
			case order < 0:
				return unresolved("both deleted the key %s", shown(m.old.entry().key))
			}
			if err := m.deleted(c); err != nil {
				return err
			}
			m.old.at++
			c.at++
		}
		return nil
	}
}
