package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/admin"
)

// A leader lease is a Roles that notes what it was asked for, and answers as the test says.
type lease struct {
	asked  string
	steps  int
	change admin.Change
	err    error
	left   time.Duration // until the context ends
}

func (o *lease) answer(ctx context.Context, asked string, tell func(admin.Step)) (admin.Change, error) {
	o.asked = asked
	deadline, _ := ctx.Deadline()
	o.left = time.Until(deadline)
	for range o.steps {
		tell(admin.Step{Text: "step"})
	}
	return o.change, o.err
}

func (o *lease) Promote(ctx context.Context, storage string, req admin.PromoteRequest, tell func(admin.Step)) (
	admin.Change, error) {
	text := "promote " + storage
	if req.Force {
		text += " force"
	}
	if req.DryRun {
		text += " dry"
	}
	return o.answer(ctx, text, tell)
}

func (o *lease) Switchover(ctx context.Context, storage string, req admin.SwitchoverRequest,
	tell func(admin.Step)) (admin.Change, error) {
	return o.answer(ctx, "switchover "+storage+" to "+req.To, tell)
}

func (o *lease) Demote(ctx context.Context, storage string, req admin.DemoteRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return o.answer(ctx, "demote "+storage+" follow "+strings.Join(req.Follow, " "), tell)
}

func (o *lease) Freeze(ctx context.Context, storage string, _ admin.FreezeRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return o.answer(ctx, "freeze "+storage, tell)
}

func (o *lease) Thaw(ctx context.Context, storage string, _ admin.FreezeRequest, tell func(admin.Step)) (
	admin.Change, error) {
	return o.answer(ctx, "thaw "+storage, tell)
}

func ignore([]byte, *admin.Step) error { return nil }

func TestChangesArriveAsTheyWereAskedFor(t *testing.T) {
	o := &lease{change: admin.Change{Done: true, Role: "primary", Epoch: 7}}
	dial := local(t, &controls{Roles: o})
	opt := admin.ChangeOptions{Storage: "main", Timeout: time.Minute}
	dry := admin.ChangeOptions{DryRun: true}
	for want, ask := range map[string]func() (*admin.Change, error){
		"promote main force": func() (*admin.Change, error) {
			return admin.AskPromote(t.Context(), dial, opt, true, ignore)
		},
		"promote  dry": func() (*admin.Change, error) {
			return admin.AskPromote(t.Context(), dial, dry, false, ignore)
		},
		"switchover main to db2:/a b": func() (*admin.Change, error) {
			return admin.AskSwitchover(t.Context(), dial, opt, "db2:/a b", ignore)
		},
		"demote main follow a:1 /run/b": func() (*admin.Change, error) {
			return admin.AskDemote(t.Context(), dial, opt, []string{"a:1", "/run/b"}, ignore)
		},
		"freeze main": func() (*admin.Change, error) { return admin.AskFreeze(t.Context(), dial, opt, ignore) },
		"thaw main":   func() (*admin.Change, error) { return admin.AskThaw(t.Context(), dial, opt, ignore) },
	} {
		got, err := ask()
		if err != nil || o.asked != want {
			t.Errorf("asked for %q, %v, want %q", o.asked, err, want)
			continue
		}
		full := &admin.Change{Done: true, Role: "primary", Epoch: 7, Steps: []string{}, Warnings: []string{}}
		if diff := cmp.Diff(full, got); diff != "" {
			t.Errorf("%s: %s", want, diff)
		}
	}
	if _, err := admin.AskThaw(t.Context(), dial, opt, ignore); err != nil || o.left > time.Minute || o.left <= 0 {
		t.Errorf("%v: it had %v", err, o.left)
	}
}

func TestStepsAreToldAsTheyHappen(t *testing.T) {
	dial := local(t, &controls{Roles: &lease{steps: 3}})
	told := 0
	_, err := admin.AskPromote(t.Context(), dial, admin.ChangeOptions{}, false, func(_ []byte, s *admin.Step) error {
		if s != nil {
			told++
		}
		return nil
	})
	if err != nil || told != 3 {
		t.Errorf("%d steps, %v", told, err)
	}
}

func TestARefusedChangeSaysWhy(t *testing.T) {
	no := &admin.Refusal{Reason: admin.Unsafe, Text: "db3 is further"}
	dial := local(t, &controls{Roles: &lease{err: no}})
	_, err := admin.AskPromote(t.Context(), dial, admin.ChangeOptions{}, false, ignore)
	var refusal *admin.Refusal
	if !errors.As(err, &refusal) || *refusal != *no {
		t.Errorf("got %v", err)
	}
	_, err = admin.AskFreeze(t.Context(), dial, admin.ChangeOptions{Timeout: 2 * time.Hour}, ignore)
	if !errors.As(err, &refusal) || refusal.Reason != admin.Invalid {
		t.Errorf("two hours: %v", err)
	}
}
