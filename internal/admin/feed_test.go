package admin_test

import (
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/zodb"
)

// Documents of any length come whole and in order, and the end of a feed is not taken for a broken connection.
func TestAFeedBringsEveryDocumentAndItsEnd(t *testing.T) {
	for _, follow := range []bool{false, true} {
		var got []zodb.Tid
		err := admin.AskFeed(t.Context(), local(t, &controls{}), "", admin.FeedQuery{After: 2, Follow: follow},
			func(from feed.Source) error {
				for {
					line, err := from.Next(t.Context())
					if err != nil {
						return err
					}
					if n := len(line.JSON); n < int(line.Tid)*200_000 || line.JSON[n-1] != '\n' {
						t.Errorf("of transaction %v came %d bytes", line.Tid, n)
					}
					got = append(got, line.Tid)
				}
			})
		var refusal *admin.Refusal
		if follow && (!errors.As(err, &refusal) || refusal.Reason != admin.Unavailable) ||
			!follow && !errors.Is(err, io.EOF) {
			t.Errorf("follow %v: it ended with %v", follow, err)
		}
		if len(got) != 3 || got[0] != 3 || got[2] != 5 {
			t.Errorf("after 2 came %v", got)
		}
	}
}

func TestAFeedThatCannotBeginIsRefused(t *testing.T) {
	var refusal *admin.Refusal
	none := func(feed.Source) error { t.Error("it began"); return nil }
	if err := admin.AskFeed(t.Context(), local(t, &controls{}), "two", admin.FeedQuery{}, none); !errors.As(err,
		&refusal) || refusal.Reason != admin.NoStorage {
		t.Errorf("of an unknown storage: %v", err)
	}
	wrong := admin.FeedQuery{Options: feed.Options{Classes: []string{"["}}}
	if err := admin.AskFeed(t.Context(), local(t, &controls{}), "", wrong, none); !errors.As(err, &refusal) ||
		refusal.Reason != admin.Invalid {
		t.Errorf("of a pattern that is none: %v", err)
	}
}
