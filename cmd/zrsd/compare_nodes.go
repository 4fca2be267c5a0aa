package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A comparedNode is one side of a comparison of running nodes.
type comparedNode struct {
	Address   string   `json:"address"`
	Name      string   `json:"name"`
	StorageID string   `json:"storage_id"`
	Base      zodb.Tid `json:"base"`
	Last      zodb.Tid `json:"last_tid"`
}

// A comparedNodes is what the command says of two running nodes with --json.
type comparedNodes struct {
	Equal        bool         `json:"equal"`
	Base         zodb.Tid     `json:"base"`         // they were compared from after it
	LastTid      *zodb.Tid    `json:"last_tid"`     // the last transaction known to be the same; nil: none
	Transactions uint64       `json:"transactions"` // that are the same
	A            comparedNode `json:"a"`
	B            comparedNode `json:"b"`
	Difference   *divergence  `json:"difference"`
}

// A divergence is where two histories part.
type divergence struct {
	Tid   zodb.Tid `json:"tid"`
	Exact bool     `json:"exact"` // false: it may be earlier, where a pack went over
	InA   bool     `json:"in_a"`  // A has a transaction with this tid
	InB   bool     `json:"in_b"`
}

// isNode reports whether an argument is the address or the name of a node and not a file: a socket, or what is no file
// and has the form of host:port, or may be a name.
func isNode(arg string) bool {
	info, err := os.Stat(arg)
	if err == nil {
		return info.Mode()&fs.ModeSocket != 0
	}
	_, err = endpoint.Parse(arg)
	return err == nil && !strings.Contains(arg, "/") || mayBeName(arg)
}

// isOther is isNode where the argument is to be compared with another one: beside a file, what does not exist is a file
// that is missing, and no node.
func isOther(arg, with string) bool {
	info, err := os.Stat(with)
	return isNode(arg) && (err != nil || !info.Mode().IsRegular() || !mayBeName(arg))
}

// runNodes compares two running nodes.
func (opt compareOptions) runNodes(ctx context.Context, addrA, addrB string, stdout io.Writer) error {
	if opt.blobsA != "" {
		return usage(errors.New("running nodes are compared by their history: leave out --blobs-a and --blobs-b"))
	}
	if opt.timeout <= 0 {
		return usage(fmt.Errorf("--timeout %v: give a duration above zero, such as 60s", opt.timeout))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opt.timeout, fmt.Errorf("no answer within %v", opt.timeout))
	defer cancel()
	a, err := opt.node(ctx, addrA)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // it was only asked
	b, err := opt.node(ctx, addrB)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // it was only asked
	d, err := hashchain.FirstDifference(ctx, a, b)
	if err != nil {
		return notCompared(err)
	}
	said := &comparedNodes{
		Equal: d.First == 0, Base: d.Base, Transactions: d.Common.Count,
		A: describeNode(addrA, a, d.A), B: describeNode(addrB, b, d.B),
	}
	if d.Common.Count > 0 {
		said.LastTid = &d.Common.Tid
	}
	if !said.Equal {
		if said.Difference, err = parts(ctx, a, b, &d); err != nil {
			return notCompared(err)
		}
	}
	return opt.tellNodes(stdout, said)
}

// node connects to a running node.
func (opt compareOptions) node(ctx context.Context, addr string) (*hashchain.Remote, error) {
	e, err := opt.tls.replication(ctx, "compare", addr)
	if err != nil {
		return nil, err
	}
	dial, secret, err := opt.tls.peer(e, opt.peer)
	if err != nil {
		return nil, err
	}
	remote, err := hashchain.Dial(ctx, dial, secret, "zrsd compare")
	if err != nil {
		return nil, notReached(fmt.Errorf("asking the node at %s: %w", addr, err), "--replicate-to")
	}
	return remote, nil
}

// notCompared gives its exit code to what ended a comparison.
func notCompared(err error) error {
	var unknown *hashchain.UnknownError
	var refusal *protocol.Refusal
	switch {
	case errors.As(err, &unknown):
		return coded(exitFailed, fmt.Errorf("%w; compare copies of the files instead", err))
	case errors.As(err, &refusal):
		return coded(exitRefused, err)
	}
	return notReached(err, "--replicate-to")
}

func describeNode(addr string, r *hashchain.Remote, span hashchain.Span) comparedNode {
	name, id := r.Node()
	return comparedNode{Address: addr, Name: name, StorageID: id, Base: span.Base, Last: span.Last}
}

// parts asks which side has the first transaction that is not the same.
func parts(ctx context.Context, a, b hashchain.Chain, d *hashchain.Difference) (*divergence, error) {
	inA, err := a.At(ctx, d.Base, d.First)
	if err != nil {
		return nil, err
	}
	inB, err := b.At(ctx, d.Base, d.First)
	if err != nil {
		return nil, err
	}
	return &divergence{Tid: d.First, Exact: d.Exact, InA: inA.Tid == d.First, InB: inB.Tid == d.First}, nil
}

// tellNodes prints what was found.
func (opt compareOptions) tellNodes(w io.Writer, said *comparedNodes) error {
	var err error
	if opt.json {
		err = json.NewEncoder(w).Encode(said)
	} else {
		_, err = fmt.Fprint(w, said.text())
	}
	if err == nil && !said.Equal {
		err = errFound
	}
	return err
}

// text is what people read.
func (said *comparedNodes) text() string {
	common := "no common transaction"
	if said.LastTid != nil {
		common = fmt.Sprintf("same history up to %s, %s", tidAndTime(*said.LastTid),
			plural.Of(said.Transactions, "transaction"))
	}
	if said.Base != 0 {
		common += fmt.Sprintf(", from after %s", tidAndTime(said.Base))
	}
	text := common + "\n"
	if d := said.Difference; d != nil {
		text += fmt.Sprintf("first difference at %s: %s\n", tidAndTime(d.Tid), d.text())
	}
	further := said.A
	if said.B.Last > said.A.Last {
		further = said.B
	}
	if said.A.Last != said.B.Last {
		text += fmt.Sprintf("%s continues to %s\n", further.Address, tidAndTime(further.Last))
	}
	return text
}

func (d *divergence) text() string {
	switch {
	case !d.Exact:
		return "the difference is there or earlier, in a part that was packed; compare copies of the files to find it"
	case d.InA && d.InB:
		return "the transaction has other content in A than in B"
	case d.InA:
		return "A has the transaction, B has not"
	}
	return "B has the transaction, A has not"
}

func tidAndTime(tid zodb.Tid) string {
	return fmt.Sprintf("%v (%s)", tid, tid.Time().UTC().Format("2006-01-02 15:04:05.000 UTC"))
}
