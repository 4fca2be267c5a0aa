package admin

import (
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
)

// recovering makes a panic the end of one request. Packs and changes of the role run beside their requests: a panic in
// one of these ends the process, since half of them would be worse.
func recovering(next http.Handler, log hclog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var cut any // what net/http itself wants to see
		err := recovered.Do(log, "answering an admin request", func() error {
			defer func() {
				if v := recover(); v == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
					cut = v
				} else if v != nil {
					panic(v)
				}
			}()
			next.ServeHTTP(w, r)
			return nil
		})
		if err != nil || cut != nil {
			panic(http.ErrAbortHandler) // ends the connection, without another word in the log
		}
	})
}
