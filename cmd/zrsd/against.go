package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/internal/vfs"
)

// compare says how much of a file is the same as another copy; nothing without --against.
func (opt *checkOptions) compare(ctx context.Context, path string, stdout, stderr io.Writer) error {
	if opt.against == "" {
		return nil
	}
	peer, err := opt.other(ctx)
	if err != nil {
		return err
	}
	bar := newProgress(stderr, "comparing")
	pass, err := verify.Run(ctx, verify.Options{
		Path: path, Dry: true, Progress: bar.update, Peers: []verify.Peer{peer},
	})
	bar.clear()
	if err != nil {
		return asOpenError(err)
	}
	if len(pass.Compared) == 0 {
		err := fmt.Errorf("compare with %s: %s", opt.against, why(pass))
		if !isNode(opt.against) {
			return cannotOpen(err)
		}
		return notReached(err, "--replicate-to")
	}
	c := pass.Compared[0]
	if opt.json {
		err = json.NewEncoder(stdout).Encode(map[string]*verify.Compared{"against": &c})
	} else {
		_, err = fmt.Fprintln(stdout, opt.text(&c, pass))
	}
	if err == nil && !c.Equal {
		err = errFound
	}
	return err
}

// why says why nothing was compared.
func why(pass *verify.Pass) string {
	for _, text := range pass.FailureNodes {
		return text
	}
	return "one of the two has no transaction"
}

// text is what people read.
func (opt *checkOptions) text(c *verify.Compared, pass *verify.Pass) string {
	text := fmt.Sprintf("against %s: ", opt.against)
	switch {
	case c.Equal && pass.LastTid != nil && c.Last > *pass.LastTid:
		text += fmt.Sprintf("all that the file has is right, up to %s; the other one continues to %s",
			tidAndTime(c.Tid), tidAndTime(c.Last))
	case c.Equal && pass.LastTid != nil && c.Last < *pass.LastTid:
		text += fmt.Sprintf("all that the other one has is the same, up to %s; the file continues to %s",
			tidAndTime(c.Tid), tidAndTime(*pass.LastTid))
	case c.Equal:
		text += "the same, up to " + tidAndTime(c.Tid)
	case c.Tid == 0:
		text += "NOT THE SAME from the first transaction on"
	default:
		text += "NOT THE SAME after " + tidAndTime(c.Tid)
	}
	text += ", " + plural.Of(c.Transactions, "transaction")
	if c.Base != 0 {
		text += fmt.Sprintf(", compared from after %s, because a pack went over what is before", tidAndTime(c.Base))
	}
	for i := range pass.Findings {
		if f := &pass.Findings[i]; f.Kind == verify.KindPeer {
			text += "\n" + f.String()
		}
	}
	return text
}

// other is the copy that --against names.
func (opt *checkOptions) other(ctx context.Context) (verify.Peer, error) {
	if isNode(opt.against) {
		ask := verifyOptions{peers: []string{opt.against}, peer: opt.peer}
		ask.tls = opt.tls
		peers, err := ask.others(ctx)
		if err != nil {
			return verify.Peer{}, err
		}
		return peers[0], nil
	}
	path := vfs.CleanPath(opt.against)
	info, err := os.Stat(path)
	if err != nil {
		return verify.Peer{}, cannotOpen(err)
	}
	if info.IsDir() {
		path = filepath.Join(path, "Data.fs")
		if _, err := os.Stat(path); err != nil {
			err = fmt.Errorf("a folder is expected to have a Data.fs; else name the file: %w", err)
			return verify.Peer{}, cannotOpen(err)
		}
	}
	return verify.FilePeer(nil, path), nil
}
