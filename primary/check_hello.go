package primary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// checkHello decides whether a secondary may follow: nil, or why not. The rules, in this order:
//
//  1. It speaks a version of the messages that we speak.
//  2. Its storage id is ours, or it has none yet and adopts ours.
//  3. It has heard of no epoch above ours, and of none that cannot be.
//  4. It can keep blobs, if we have any.
//  5. Its file is of the same Python generation, or empty.
//  6. What it has is not from an epoch that we do not know (see checkEpochs).
//  7. Its last transaction is also ours (see checkHistory).
func (p *Primary) checkHello(ctx context.Context, h *protocol.Hello) *protocol.Refusal {
	id, epochs := p.opt.Identity()
	own := (&protocol.Welcome{Epochs: epochs}).Highest()
	switch {
	case !protocol.KnownVersion(h.Version):
		return unknownVersion(h.Version)
	case id == "":
		return refuse(protocol.CodeShuttingDown, 0, "this node does not know yet which storage it holds: it has "+
			"not reached its own primary, or has a conflict of identity (zrsd status of it says); it is tried again")
	case h.StorageID != "" && h.StorageID != id:
		return refuse(protocol.CodeWrongStorage, 0, "this secondary holds the storage %s, the primary has %s; check "+
			"the address, or, if it is to become a copy of this primary, give it an empty Data.fs without a state file",
			clean(h.StorageID), id)
	case h.StorageID == id && state.Believe(h.Highest(), own) != nil:
		return refuse(protocol.CodeOutranked, 0, "%v", state.Believe(h.Highest(), own))
	case h.StorageID == id && h.Highest() > own:
		return p.outranked(h, own)
	case p.src.HasBlobs() && !h.Blobs:
		return refuse(protocol.CodeBlobsRequired, 0, "the primary has blobs and this secondary has no blob directory; "+
			"start it with --blobs DIR")
	case h.Last.Tid == 0:
		return nil
	case h.Magic != p.src.Magic():
		return refuse(protocol.CodeMagic, 0, "the file of this secondary begins with %q, that of the primary with %q: "+
			"they are of different Python generations; give the secondary an empty Data.fs", h.Magic[:], p.src.Magic())
	}
	if r := p.checkEpochs(h, epochs); h.StorageID == id && r != nil {
		return r
	}
	return p.checkHistory(ctx, h)
}

// checkEpochs compares the epochs that both know. What a secondary has from after the beginning of the first one that
// only one of us knows, it has from a primary that was another one: histories can be the same up to there. This needs
// no look at transactions, which a pack may have taken away.
func (p *Primary) checkEpochs(h *protocol.Hello, epochs []protocol.Epoch) *protocol.Refusal {
	at, parted := protocol.Part(epochs, h.Epochs)
	last := h.Last.Tid
	switch ours := p.src.LastTid(); {
	case len(h.Epochs) == 0 || !parted || last <= at:
		return nil
	case last > ours:
		if m := p.opt.Member; m != nil && h.StorageID != "" {
			m.Surpassed(last)
		}
		return ahead(last, ours)
	}
	return refuse(protocol.CodeDiverged, at, "the last transaction of this secondary is %v (%s), and after %v (%s) "+
		"its history differs: it has %s, the primary has %s; %s", last, last.Stamp(), at, at.Stamp(),
		lastOf(h.Epochs), lastOf(epochs), startAgain)
}

// lastOf names the last epoch of a list.
func lastOf(epochs []protocol.Epoch) string {
	if len(epochs) == 0 {
		return "no epoch"
	}
	e := epochs[len(epochs)-1]
	if e.Node == "" {
		return fmt.Sprintf("epochs up to %d", e.Number)
	}
	return fmt.Sprintf("epochs up to %d of node %s", e.Number, clean(e.Node))
}

// checkHistory compares the secondary's last transaction with ours of the same tid. A pack may have removed records of
// it, on either side, and then its digest proves nothing; a status 'p' says so. It may even have removed the whole
// transaction from our file: then the one that now follows was written by that pack. Where it is the same, the chains
// of digests can prove that all before it is, or is not. A copy without an identity knows no epochs, so that nothing
// would tell a transaction that was packed away from one that never was here: it has to have one that is here.
func (p *Primary) checkHistory(ctx context.Context, h *protocol.Hello) *protocol.Refusal {
	last := h.Last
	found, r := p.common(ctx, last.Tid)
	switch {
	case r != nil && h.StorageID == "" && r.Code != protocol.CodeInternal:
		return p.foreign(last.Tid)
	case r != nil:
		return r
	case h.StorageID == "" && (found == nil || found.Digest != last.Digest):
		return refuse(protocol.CodeDiverged, last.Tid, "this copy has no state file, and its last transaction, %v "+
			"(%s), was removed by a pack on the primary, or never was there: so it cannot prove that it is a copy of "+
			"this storage; restore its state file as well, or give it a newer copy or an empty Data.fs", last.Tid,
			last.Tid.Stamp())
	case found == nil, found.Status == zodb.StatusPacked, last.Status == zodb.StatusPacked:
		return nil
	case found.Digest == last.Digest:
		return p.proves(ctx, last)
	}
	return refuse(protocol.CodeDiverged, last.Tid, "transaction %v (%s) has other content here than on the "+
		"primary: the histories differ there or earlier; %s", last.Tid, last.Tid.Stamp(), startAgain)
}

// common looks up the last transaction of a secondary. It returns neither that nor a refusal when a pack may have
// removed it.
func (p *Primary) common(ctx context.Context, last zodb.Tid) (*filestorage.Found, *protocol.Refusal) {
	found, err := p.src.Find(ctx, last)
	switch {
	case errors.Is(err, zodb.ErrNoTid):
		if ours := p.src.LastTid(); last > ours {
			return nil, ahead(last, ours)
		}
		if found.After.Status == zodb.StatusPacked {
			return nil, nil
		}
		return nil, refuse(protocol.CodeDiverged, last, "the last transaction of this secondary, %v (%s), never was "+
			"in the primary: their histories differ; %s", last, last.Stamp(), startAgain)
	case err != nil:
		return nil, refuse(protocol.CodeInternal, last, "looking up transaction %v: %v", last, p.sourceFailed(err))
	}
	return &found, nil
}

// foreign refuses a file without an identity whose last transaction is not here. That it is later than ours does not
// make it one of this storage, and nothing can be set aside of it: zrsd rewind needs to know which storage it is.
func (p *Primary) foreign(theirs zodb.Tid) *protocol.Refusal {
	by := "is empty"
	if ours := p.src.LastTid(); ours != 0 {
		by = fmt.Sprintf("ends with %v (%s)", ours, ours.Stamp())
	}
	return refuse(protocol.CodeDiverged, theirs, "the Data.fs of this secondary has no state file, and its last "+
		"transaction, %v (%s), is not in the primary, which %s: it is of another storage, or of another history of "+
		"this one; check the address and the path; zrsd check Data.fs --against ADDR says how much of it the primary "+
		"has; to make this node a copy, move the Data.fs and its blobs away and start it with an empty Data.fs; if "+
		"the primary was restored from an old copy, restore a newer one", theirs, theirs.Stamp(), by)
}

func ahead(theirs, ours zodb.Tid) *protocol.Refusal {
	by := "the primary is empty"
	if ours != 0 {
		by = fmt.Sprintf("the primary's last is %v (%s), %s earlier", ours, ours.Stamp(),
			theirs.Time().Sub(ours.Time()).Round(time.Millisecond))
	}
	return refuse(protocol.CodeAhead, theirs, "this secondary is ahead: its last transaction is %v (%s), %s; if the "+
		"primary was restored from an old copy, restore a newer one or promote this secondary; otherwise %s",
		theirs, theirs.Stamp(), by, startAgain)
}

func unknownVersion(version int) *protocol.Refusal {
	return refuse(protocol.CodeProtocol, 0, "messages of version %d are not supported here, only versions %d to %d; %s",
		version, protocol.OldestVersion, protocol.MessageVersion, sameVersion)
}

// What to do, as several refusals end.
const (
	sameVersion = "run the same version of zrsd on both sides"
	startAgain  = "stop it and use zrsd rewind, which sets aside what the primary never had, or give it an empty " +
		"Data.fs to be filled from the primary"
)

func refuse(code protocol.Code, tid zodb.Tid, format string, args ...any) *protocol.Refusal {
	return &protocol.Refusal{Code: code, Tid: tid, Text: fmt.Sprintf(format, args...)}
}
