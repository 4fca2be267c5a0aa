package zeo

import (
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zeo/wire"
)

// maxCorrections is how many damaged places one call may meet, one after the other.
const maxCorrections = 8

// answerCorrected answers m by attempt, which returns the damage that it has met instead of an answer. Then it is tried
// again when StorageOptions.Correct has found what has to be there, beside the connection: other loads of the client go
// on meanwhile. A last attempt must answer. With too many of them it comes at once.
func (c *client) answerCorrected(m *wire.Message, attempt func(last bool) (err, damage error)) error {
	correct := c.storage.opt.Correct
	err, damage := attempt(correct == nil)
	if damage == nil {
		return err
	}
	began := c.beside(m, func() error {
		for tries := 1; ; tries++ {
			err, next := attempt(tries > maxCorrections || !correct(c.ctx, damage))
			if next == nil {
				return err
			}
			damage = next
		}
	})
	if !began {
		err, _ = attempt(true)
	}
	return err
}

// corrected calls f again when it has met damage and it is known what has to be there, and returns the error of the
// last call. Who calls it waits.
func (c *client) corrected(f func() error) error {
	correct := c.storage.opt.Correct
	for tries := 0; ; tries++ {
		err := f()
		damage := filestorage.DamageIn(err)
		if damage == nil || correct == nil || tries == maxCorrections || !correct(c.ctx, damage) {
			return err
		}
	}
}

// beside runs f, which answers m, beside the connection, unless half of its slots are taken: nothing that comes after
// it waits for a slot then.
func (c *client) beside(m *wire.Message, f func() error) (began bool) {
	if len(c.slots) >= maxBackground/2 {
		return false
	}
	select {
	case c.slots <- struct{}{}:
		c.run(m, f)
		return true
	default:
		return false
	}
}
