package zeo

import (
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A fault in a method costs the connection that called it: its transaction is gone, its lock is free, and all others go
// on.
func TestAPanicCostsOneConnection(t *testing.T) {
	var nothing *pickle.Dict
	for name, f := range map[string]func(c *client, m *wire.Message, _ *arguments) error{
		"in a method": func(*client, *wire.Message, *arguments) error { return raise(classKey, nothing.Items) },
		"beside the loop": func(c *client, m *wire.Message, _ *arguments) error {
			c.background(m, func() (pickle.Value, error) { return nothing.Items, nil })
			return nil
		},
		"under the lock of what is visible": func(c *client, m *wire.Message, _ *arguments) error {
			c.storage.view(func(zodb.Tid) { c.reply(m, int64(len(nothing.Items))) })
			return nil
		},
	} {
		handlers["fall"] = handler{f: f}
		defer delete(handlers, "fall")
		s := start(t, Options{}, StorageOptions{})
		other, _ := s.register(t)
		faulty, _ := s.register(t)
		faulty.stored(1, 0, "never")
		faulty.call("vote", handle)
		before := recovered.Count()
		faulty.send(0, "fall")
		faulty.cut()
		if n := recovered.Count() - before; n != 1 {
			t.Errorf("%s: %d panics were counted", name, n)
		}
		if other.commit(2, 0, "data"); s.st.Len() != 1 {
			t.Errorf("%s: what had voted was committed", name)
		}
		s.stop()
	}
}
