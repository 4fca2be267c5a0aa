package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// goOnAfter is how many times in a row a primary has to hear of an epoch that was promised and has not begun before it
// goes on under a higher number. By then a promotion that is under way has come to its end.
const goOnAfter = 3

// tryGoOn has a primary go on under a higher epoch. It returns why that cannot be; said is what it returned before,
// which is not logged again.
func (r *replica) tryGoOn(ctx context.Context, said string) string {
	err := r.changeInTurn(ctx, r.goOn)
	if err == nil || ctx.Err() != nil {
		return ""
	}
	if err.Error() != said {
		r.c.Logger.Error(
			"some nodes voted for an epoch that is not known to have begun, and do not follow this primary; it "+
				"cannot begin a higher epoch: start the nodes that do not answer, or promote the node that shall "+
				"be primary",
			"error",
			err,
		)
	}
	return err.Error()
}

// goOn begins another epoch on a primary, when others have promised a higher one to somebody who has not begun it: a
// promotion that was refused after all, or broken off. They follow this primary again when its epoch is above what they
// have promised. Commits are held while they are asked.
//
// It is a promotion of the node that leads, and takes what one takes: nobody that answers has begun a higher epoch or
// is further, and where commits wait for secondaries enough of them promise. Where commits do not wait, everybody has
// to answer: whoever does not could have begun the epoch.
func (r *replica) goOn(ctx context.Context) error {
	if !r.isLeading() || r.fenced() {
		return nil
	}
	id, answers := r.keep.State(), r.ask(ctx, 0, r.others())
	epoch := highest(id, answers) + 1
	switch {
	case latest(id, answers) > id.Latest():
		r.Outranked(latest(id, answers))
		return nil
	case epoch == id.Highest()+1:
		return nil // it has come right by itself
	}
	if err := r.unopposed(answers); err != nil {
		return err
	}
	release, err := r.st.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := r.unopposed(r.ask(ctx, epoch, r.others())); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	last := r.st.LastTid()
	if err := r.beginEpoch(epoch, last, nil); err != nil {
		return err
	}
	r.c.Logger.Warn("this primary began a higher epoch, because nodes had voted for one that no node has begun",
		"epoch", epoch, "last_tid", last)
	release()
	if err := r.open(r.life); err != nil {
		r.c.Logger.Error("cannot write the first transaction of the epoch", "error", err)
	}
	r.renew()
	r.applyAccess()
	return nil
}

// unopposed says why the answers do not let the primary begin a higher epoch.
func (r *replica) unopposed(answers []answer) error {
	own := r.st.LastTid()
	var voters []voter
	var silent []string
	for _, a := range answers {
		switch {
		case a.status == nil:
			silent = append(silent, a.err.Error())
		case a.status.IsPrimary:
			return fmt.Errorf("%s is primary, too", a.status.Name)
		case a.status.LastTid > own:
			return errors.New(further(a.status.Name, a.status.LastTid, own, 0))
		default:
			voters = append(voters, voter{a.status.Node, a.status.Name})
		}
	}
	rule := r.syncRule()
	switch {
	case len(silent) == 0:
		return nil
	case rule.Required == 0 || len(rule.Names) == 0:
		return fmt.Errorf("not all nodes answer: %s", strings.Join(silent, "; "))
	}
	need := len(rule.Names) - rule.Required // beside this node
	if have := votes(rule.Names, voters); have < need {
		return fmt.Errorf("%d of %s have to answer, %d do: %s", need, strings.Join(rule.Names, ", "), have,
			strings.Join(silent, "; "))
	}
	return nil
}
