package zeo

import (
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A handler answers a call by itself, with reply or fail, or returns an error, which is the answer then. A
// *protocolError ends the connection.
type handler struct {
	f     func(c *client, m *wire.Message, a *arguments) error
	write bool // refused to readers
}

// handlers are the methods of protocol 5, but for register.
var handlers map[string]handler

func init() { //nolint:gochecknoinits // handlers that answer by way of dispatch would refer to themselves
	handlers = map[string]handler{
		"get_info":         {f: (*client).getInfo},
		"set_client_label": {f: (*client).setLabel},
		"ping":             {f: (*client).ping},
		"lastTransaction":  {f: (*client).lastTransaction},
		"getInvalidations": {f: (*client).getInvalidations},
		"server_status":    {f: (*client).serverStatus},

		"loadBefore":      {f: (*client).loadBefore},
		"loadSerial":      {f: (*client).loadSerial},
		"getTid":          {f: (*client).getTid},
		"history":         {f: (*client).history},
		"record_iternext": {f: (*client).recordNext},

		"iterator_start":        {f: (*client).iteratorStart},
		"iterator_next":         {f: (*client).iteratorNext},
		"iterator_record_start": {f: (*client).recordStart},
		"iterator_record_next":  {f: (*client).recordIterNext},
		"iterator_gc":           {f: (*client).iteratorGC},

		"undoLog":  {f: (*client).undoLog},
		"undoInfo": {f: (*client).undoInfo},
		"pack":     {f: (*client).pack},
		"sendBlob": {f: (*client).sendBlob},

		"new_oids":                        {f: (*client).newOids, write: true},
		"tpc_begin":                       {f: (*client).begin, write: true},
		"storea":                          {f: (*client).store, write: true},
		"checkCurrentSerialInTransaction": {f: (*client).check, write: true},
		"deleteObject":                    {f: (*client).deleteObject, write: true},
		"restorea":                        {f: (*client).restore, write: true},
		"undoa":                           {f: (*client).undo, write: true},
		"storeBlobStart":                  {f: (*client).blobStart, write: true},
		chunkMethod:                       {f: (*client).blobChunk, write: true},
		"storeBlobEnd":                    {f: (*client).blobEnd, write: true},
		"storeBlobShared":                 {f: (*client).blobShared, write: true},
		"vote":                            {f: (*client).vote, write: true},
		"tpc_finish":                      {f: (*client).finish, write: true},
		"tpc_abort":                       {f: (*client).abort, write: true},
	}
}

// dispatch handles a call.
func (c *client) dispatch(m *wire.Message) error {
	if !small(m.ID) {
		return violation("the id of a call is larger than any that clients have")
	}
	a := argumentsOf(m.Method, m.Args)
	if c.storage == nil {
		if m.Method != "register" {
			return violation("%.40q before register", m.Method)
		}
		err := c.register(m, a)
		if err == errDone { //nolint:errorlint // register's own: the client is to look again
			return err
		}
		return c.answered(m, err)
	}
	h, known := handlers[m.Method]
	switch {
	case !known:
		return violation("there is no method %.40q here", m.Method)
	case c.leaves:
		return c.connect(m, a, h)
	case h.write && c.readOnly:
		return c.fail(m, zodb.ErrReadOnly)
	}
	return c.answered(m, h.f(c, m, a))
}

// answered turns the error of a handler into its answer.
func (c *client) answered(m *wire.Message, err error) error {
	if err == nil {
		return nil
	}
	if _, fatal := err.(*protocolError); fatal || err == errRelieved { //nolint:errorlint // the handler's own
		return err
	}
	return c.fail(m, err)
}

// answerInView answers with what f finds in the storage as of the last visible transaction. An error is an answer, too:
// that there is no such object must not come after the invalidation of the transaction that made it.
func (c *client) answerInView(m *wire.Message, f func(visible zodb.Tid) (pickle.Value, error)) error {
	return c.answerCorrected(m, func(last bool) (err, damage error) {
		c.storage.view(func(visible zodb.Tid) {
			result, failure := f(visible)
			switch {
			case failure == nil:
				c.reply(m, result)
			case !last && filestorage.DamageIn(failure) != nil:
				damage = failure
			default:
				err = c.answered(m, failure)
			}
		})
		return err, damage
	})
}
