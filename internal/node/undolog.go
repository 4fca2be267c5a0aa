package node

import (
	"bytes"
	"context"
	"strings"
	"unicode/utf8"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
)

// UndoLog lists what can be undone in a storage, as an operator asks for it.
func UndoLog(ctx context.Context, st undoLister, q admin.UndoQuery) ([]admin.UndoEntry, error) {
	user, description := []byte(q.User), []byte(q.Description)
	found, err := st.UndoLog(ctx, q.First, q.First+q.Count, func(e *filestorage.UndoEntry) bool {
		if !bytes.Contains(e.User, user) || !bytes.Contains(e.Description, description) {
			return false
		}
		// A list of a thousand is not to keep what nobody is shown of them.
		e.User, e.Description, e.Extension = shortened(e.User), shortened(e.Description), nil
		return true
	})
	if err != nil {
		return nil, err
	}
	list := make([]admin.UndoEntry, len(found))
	for i := range found {
		e := &found[i]
		list[i] = admin.UndoEntry{
			ID: e.ID(), Tid: e.Tid, Time: e.Tid.Time().UTC(), Size: e.Size,
			User: string(e.User), Description: string(e.Description),
		}
	}
	return list, nil
}

// shortened returns text as UTF-8, at most admin.MaxUndoText bytes of it.
func shortened(b []byte) []byte {
	text := strings.ToValidUTF8(string(b), string(utf8.RuneError))
	if len(text) <= admin.MaxUndoText {
		return []byte(text)
	}
	const more = "…"
	return []byte(strings.ToValidUTF8(text[:admin.MaxUndoText-len(more)], "") + more)
}
