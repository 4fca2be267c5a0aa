package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The commands that change roles, as paths and in the header.
const (
	promoteCommand    = "promote"
	switchoverCommand = "switchover"
	demoteCommand     = "demote"
	freezeCommand     = "freeze"
	thawCommand       = "thaw"
)

// Bounds of how long a change may take.
const (
	DefaultChangeTimeout = 30 * time.Second
	MinChangeTimeout     = 100 * time.Millisecond
	MaxChangeTimeout     = time.Hour
)

// maxSteps is how many steps of a change wait to be sent. More are not sent as they happen; the result has them all.
const maxSteps = 64

// A changeLine is one line of the answer to a change of roles. Exactly one member is there. The last line is a result
// or an error.
type changeLine struct {
	Step   *Step    `json:"step,omitempty"`
	Result *Change  `json:"result,omitempty"`
	Error  *Refusal `json:"error,omitempty"`
}

// A change does one of the commands, as a request asks for it.
type change func(ctx context.Context, storage string, values url.Values, tell func(Step)) (Change, error)

// changes are the commands of Roles.
func (c *commands) changes() map[string]change {
	return map[string]change{
		promoteCommand: func(ctx context.Context, storage string, v url.Values, tell func(Step)) (Change, error) {
			req := PromoteRequest{DryRun: is(v, "dry_run"), Force: is(v, "force")}
			return c.control.Promote(ctx, storage, req, tell)
		},
		switchoverCommand: func(ctx context.Context, storage string, v url.Values, tell func(Step)) (Change, error) {
			req := SwitchoverRequest{DryRun: is(v, "dry_run"), To: v.Get("to")}
			return c.control.Switchover(ctx, storage, req, tell)
		},
		demoteCommand: func(ctx context.Context, storage string, v url.Values, tell func(Step)) (Change, error) {
			req := DemoteRequest{DryRun: is(v, "dry_run")}
			if list := v.Get("follow"); list != "" {
				req.Follow = strings.Split(list, ",")
			}
			return c.control.Demote(ctx, storage, req, tell)
		},
		freezeCommand: func(ctx context.Context, storage string, v url.Values, tell func(Step)) (Change, error) {
			return c.control.Freeze(ctx, storage, FreezeRequest{is(v, "dry_run")}, tell)
		},
		thawCommand: func(ctx context.Context, storage string, v url.Values, tell func(Step)) (Change, error) {
			return c.control.Thaw(ctx, storage, FreezeRequest{is(v, "dry_run")}, tell)
		},
	}
}

func is(values url.Values, name string) bool { return values.Get(name) == "true" }

// checkChange reads what all changes have in common.
func checkChange(values url.Values) (timeout time.Duration, err error) {
	timeout = DefaultChangeTimeout
	if text := values.Get("timeout"); text != "" {
		timeout, err = time.ParseDuration(text)
		if err != nil || timeout < MinChangeTimeout || timeout > MaxChangeTimeout {
			return 0, &Refusal{Invalid, fmt.Sprintf("timeout %.40q: give a time from %v to %v, such as 30s", text,
				MinChangeTimeout, MaxChangeTimeout)}
		}
	}
	for _, name := range []string{"dry_run", "force"} {
		if text := values.Get(name); text != "" && text != "true" && text != "false" {
			return 0, &Refusal{Invalid, fmt.Sprintf("%s %.20q: give true or false", name, text)}
		}
	}
	return timeout, nil
}

// serveChange answers one of the commands. A change that has begun continues when its client has disconnected: half of
// it would be worse than all.
func (c *commands) serveChange(command string, do change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		timeout, storage, ok := asked(w, r, command, checkChange)
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), timeout,
			fmt.Errorf("not done within %v", timeout))
		defer cancel()
		out := &lineWriter{w: w, control: http.NewResponseController(w)}
		if err := out.begin(); err != nil {
			return // the client has disconnected
		}
		steps := make(chan Step, maxSteps)
		done := make(chan changeLine, 1)
		go func() {
			result, err := do(ctx, storage, r.URL.Query(), func(s Step) {
				select {
				case steps <- s:
				default:
				}
			})
			close(steps)
			if err != nil {
				done <- changeLine{Error: refusalOf(err)}
				return
			}
			done <- changeLine{Result: listed(&result)}
		}()
		for s := range steps {
			_ = out.write(changeLine{Step: &s}) // the client has disconnected
		}
		_ = out.write(<-done)
	}
}

// listed makes empty lists of missing ones.
func listed(c *Change) *Change {
	if c.Steps == nil {
		c.Steps = []string{}
	}
	if c.Warnings == nil {
		c.Warnings = []string{}
	}
	return c
}

// ErrUnknownOutcome says that the outcome of a change is unknown.
var ErrUnknownOutcome = errors.New("the connection ended before the answer, so the result is not known: ask the " +
	"nodes with zrsd status")

// An unknownError is ErrUnknownOutcome where no connection has ended.
type unknownError struct{ silent *SilentError }

func (e *unknownError) Error() string {
	return e.silent.Error() + ": the result is not known, ask the nodes with zrsd status"
}

// Unwrap returns both.
func (e *unknownError) Unwrap() []error { return []error{ErrUnknownOutcome, e.silent} }

// A ChangeOptions are what all changes have in common.
type ChangeOptions struct {
	Storage string
	DryRun  bool
	Timeout time.Duration // 0: DefaultChangeTimeout
}

func (o *ChangeOptions) values() url.Values {
	v := url.Values{"storage": {o.Storage}, "dry_run": {strconv.FormatBool(o.DryRun)}}
	if o.Timeout != 0 {
		v.Set("timeout", o.Timeout.String())
	}
	return v
}

// AskPromote has a secondary become primary. Each line of the answer is told as it came, with its step, if it is one.
// The errors are those of AskClients, and ErrUnknownOutcome.
func AskPromote(ctx context.Context, dial Dialer, opt ChangeOptions, force bool, tell func([]byte, *Step) error) (
	*Change, error) {
	v := opt.values()
	v.Set("force", strconv.FormatBool(force))
	return askChange(ctx, dial, promoteCommand, v, tell)
}

// AskSwitchover has a primary hand over to a secondary.
func AskSwitchover(ctx context.Context, dial Dialer, opt ChangeOptions, to string, tell func([]byte, *Step) error) (
	*Change, error) {
	v := opt.values()
	v.Set("to", to)
	return askChange(ctx, dial, switchoverCommand, v, tell)
}

// AskDemote has a node follow others.
func AskDemote(ctx context.Context, dial Dialer, opt ChangeOptions, follow []string,
	tell func([]byte, *Step) error) (*Change, error) {
	v := opt.values()
	v.Set("follow", strings.Join(follow, ","))
	return askChange(ctx, dial, demoteCommand, v, tell)
}

// AskFreeze has a primary take no transactions.
func AskFreeze(ctx context.Context, dial Dialer, opt ChangeOptions, tell func([]byte, *Step) error) (*Change, error) {
	return askChange(ctx, dial, freezeCommand, opt.values(), tell)
}

// AskThaw has it take them again.
func AskThaw(ctx context.Context, dial Dialer, opt ChangeOptions, tell func([]byte, *Step) error) (*Change, error) {
	return askChange(ctx, dial, thawCommand, opt.values(), tell)
}

func askChange(ctx context.Context, dial Dialer, command string, values url.Values, tell func([]byte, *Step) error) (
	*Change, error) {
	var result *Change
	err := askLines(ctx, dial, "/"+command, values, ErrUnknownOutcome, func(raw []byte, line *changeLine) error {
		if err := tell(raw, line.Step); err != nil {
			return err
		}
		if line.Error != nil {
			return line.Error
		}
		if line.Result != nil {
			result = line.Result
		}
		return nil
	})
	var silent *SilentError
	switch {
	case errors.As(err, &silent) && silent.Sent:
		err = &unknownError{silent}
	case err == nil && result == nil:
		err = ErrUnknownOutcome
	}
	return result, err
}
