package archive

import (
	"context"
	"errors"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
)

const (
	lookEvery   = time.Second      // how often it is looked whether there is something to archive
	firstWait   = time.Second      // before another attempt
	longestWait = 30 * time.Second // likewise

	verificationsEvery = 10 * time.Minute // how often it is looked what verifications have found
)

// Run archives until ctx ends. What goes wrong is tried again; Status says what. With stop it returns, too, when
// another node writes, or this one must not.
func (w *Writer) Run(ctx context.Context, stop bool) error {
	defer w.closeFile()
	wait := firstWait
	w.is(StateConnecting, nil)
	for told := ""; ctx.Err() == nil; {
		more, err := w.step(ctx)
		if ctx.Err() != nil {
			break
		}
		w.lookForVerifications(ctx)
		state := stateOf(err)
		w.is(state, err)
		if text := state + textOf(err); text != told && err != nil {
			w.opt.Logger.Warn("nothing is archived at present", "state", state, "error", err,
				"warning", warning.ArchiveAway)
			told = text
		} else if err == nil && told != "" {
			w.opt.Logger.Info("the archive takes transactions again")
			told = ""
		}
		switch {
		case err == nil:
			wait = firstWait
			if !more {
				pause.For(ctx, min(lookEvery, w.opt.Interval))
			}
			continue
		case stop && (state == StateStandby || state == StateRefused):
			return err
		case state == StateArchiving: // another generation was begun
			w.closeFile()
			continue
		case state == StateStandby:
			pause.For(ctx, w.opt.Interval)
			continue
		case state == StateAway && !objectstore.IsTemporary(err):
			w.closeFile()
		}
		pause.For(ctx, wait)
		wait = min(2*wait, longestWait)
	}
	return nil
}

// lookForVerifications notes what verifications have found that ran elsewhere. While the archive is away it is not
// known better than before, and that the archive is away is told anyway.
func (w *Writer) lookForVerifications(ctx context.Context) {
	now := w.opt.Now()
	if w.archive == nil || now.Sub(w.looked) < verificationsEvery {
		return
	}
	last, proof, err := w.archive.Verifications(ctx)
	if err != nil {
		w.opt.Logger.Debug("it is not known when the archive was verified", "error", err)
		return
	}
	w.looked = now
	w.verified(w.archive.Identity.Made, last, proof)
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// stateOf is the state to which an error leads.
func stateOf(err error) string {
	var (
		other   *OtherWriterError
		newer   *NewerError
		behind  *BehindError
		refused *RefusedError
	)
	switch {
	case err == nil, errors.As(err, &newer):
		return StateArchiving
	case errors.As(err, &other):
		return StateStandby
	case errors.As(err, &behind):
		return StateBehind
	case errors.As(err, &refused):
		return StateRefused
	}
	return StateAway
}

// Once archives everything that there is now. It does not wait for more, nor for another writer.
func (w *Writer) Once(ctx context.Context) error {
	defer w.closeFile()
	for {
		more, err := w.step(ctx)
		var newer *NewerError
		switch {
		case errors.As(err, &newer):
			w.closeFile()
			continue
		case err != nil:
			return err
		case more:
			continue
		}
		if w.file.Last() == 0 || w.file.End() == w.at.To {
			return nil
		}
		if err := w.write(ctx); err != nil {
			return err
		}
	}
}

// standBy follows what another writer writes, so that this one can go on with it at once.
func (w *Writer) standBy(ctx context.Context, current bool) error {
	if !current {
		w.closeFile()
		return &NewerError{w.path.Generation}
	}
	if err := w.stillNewest(ctx); err != nil {
		return err
	}
	if err := w.path.grow(ctx); err != nil {
		return err
	}
	var err error
	if w.proved, w.at, err = w.proveFrom(ctx, w.proved, w.at); err != nil {
		return err
	}
	head, err := w.path.head(ctx)
	if err != nil {
		return err
	}
	w.began(w.path, w.at, head)
	if err := w.otherIsActive(head); err != nil {
		return err
	}
	if w.file.End() <= head.To && w.proved == w.path.Len() { // there is nothing to archive
		return &OtherWriterError{Node: head.Node, Written: head.Written, ID: head.ID}
	}
	w.closeFile()
	w.opt.Logger.Info(
		"the node that wrote to the archive is silent: this node goes on",
		"node",
		head.Node.String(),
		"last",
		head.Last,
	)
	return &NewerError{w.path.Generation}
}
