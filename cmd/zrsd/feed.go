package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/feed"
	"github.com/zrsd/zrsd/internal/node"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

const feedHelp = `Tells what was committed: one JSON document a transaction, in one line, with the objects that it wrote
and their classes: see docs/reports.md. ADDR is the --admin address of a node; a secondary costs the
primary nothing. --data reads a file instead, beside whatever process writes it.

It begins after --after: a TID, a TIME, latest, or 0 for everything that is in the file. --output, --http
and --to keep a cursor, which counts from the second start on:

  --output FILE          appends to FILE, whose last line is the cursor: each transaction is there
                         exactly once, whatever was killed or lost its power
  --http URL             posts each as a CloudEvent, until it is taken; its id is the tid. The cursor
    --cursor FILE        is in FILE: after a crash a transaction may be posted again, with the same id
  --to nats://HOST:PORT/STREAM/SUBJECT
                         publishes into a stream of NATS JetStream that nobody else writes, whose last
                         message is the cursor: each transaction is there exactly once
  --to kafka://HOST:PORT[,HOST:PORT…]/TOPIC
                         writes into partition 0 of a topic of Kafka that nobody else writes, and the
                         cursor into topic TOPIC-zrsd-cursor, in one transaction of Kafka: who reads
                         with read_committed sees each transaction exactly once. kafka+tls:// is with
                         TLS, USER:PASSWORD@ with a password: see docs/reports.md

Without one of these it writes to standard output, and its reader keeps the tid of the last line.

--paths adds to each object a path from the root after its transaction: it reads the whole file first.

--follow waits for more at the end, and connects again when the node is away.`

// feedRetry is waited before a node is asked again.
const feedRetry = time.Second

type feedOptions struct {
	askFlags
	data, blobs          string
	after                string
	output, http, cursor string
	to                   string
	follow               bool
	feed                 feed.Options
	query                admin.FeedQuery
	log                  io.Writer
}

func feedCommand() *cobra.Command {
	var opt feedOptions
	cmd := &cobra.Command{
		Use: "feed {ADDR [--storage NAME] | --data Data.fs [--blobs DIR]} [--after TID|TIME|latest] [--follow] " +
			"[--output FILE | --http URL --cursor FILE | --to URL]",
		Short: "tell other programs what was committed",
		Long:  feedHelp,
		Example: "  zrsd feed db2:5001 --after latest --follow --output changes.jsonl\n" +
			"  zrsd feed --data var/Data.fs --after 2026-01-31 --class 'plone.app.*' --states\n" +
			"  zrsd feed db2:5001 --follow --http https://index.example/zodb --cursor index.cursor\n" +
			"  zrsd feed db2:5001 --follow --to nats://nats.example:4222/ZODB/zodb.main\n" +
			"  zrsd feed db2:5001 --follow --to kafka://kafka.example:9092/zodb",
		Args: func(cmd *cobra.Command, args []string) error {
			if opt.data != "" {
				return arguments()(cmd, args)
			}
			return arguments("ADDR")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.log = cmd.ErrOrStderr()
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return opt.run(ctx, args, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.after, "after", "0", "begin after this `TID`, this time, or the latest transaction")
	flags.BoolVar(&opt.follow, "follow", false, "wait for more at the end")
	flags.StringSliceVar((*[]string)(&opt.feed.Classes), "class", nil, "`CLASS` as module.name, with * for any text: "+
		"only objects of these, and transactions with some")
	flags.BoolVar(&opt.feed.States, "states", false, "with the state of each object, decoded")
	flags.BoolVar(&opt.feed.Paths, "paths", false, "with a path from the root to each object: reads the "+
		"whole file first")
	flags.StringVar(&opt.output, "output", "", "append to `FILE`, which is the cursor, too")
	flags.StringVar(&opt.http, "http", "", "post CloudEvents to `URL`")
	flags.StringVar(&opt.cursor, "cursor", "", "`FILE` of the cursor, for --http")
	flags.StringVar(&opt.to, "to", "", "publish into a stream of NATS JetStream or a topic of Kafka, of this `URL`")
	pathVar(flags, &opt.data, "data", "read this `Data.fs`")
	pathVar(flags, &opt.blobs, "blobs", "its blob `DIR`, for names and sizes of blobs")
	flags.StringVarP(&opt.storage, "storage", "S", "", "`NAME` of the storage, where there are several")
	opt.tls.register(flags, "", "this client's")
	return cmd
}

func (opt *feedOptions) run(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := opt.check(); err != nil {
		return usage(err)
	}
	opt.query = admin.FeedQuery{Follow: opt.follow, Options: opt.feed}
	if err := opt.begin(); err != nil {
		return err
	}
	sink, closeSink, err := opt.open(ctx, out)
	if err != nil {
		return cannotOpen(err)
	}
	defer func() { err = errors.Join(err, closeSink()) }()
	tid, ok, err := sink.Cursor(ctx)
	if err != nil {
		return cannotOpen(err)
	}
	if ok {
		opt.query.After, opt.query.Exact, opt.query.Latest = tid, true, false
	}
	if opt.data != "" {
		return opt.read(ctx, sink)
	}
	return opt.ask(ctx, args[0], sink)
}

func (opt *feedOptions) check() error {
	switch {
	case opt.output != "" && opt.http+opt.to != "", opt.http != "" && opt.to != "":
		return errors.New("--output, --http and --to are different places: leave all but one out, or run several feeds")
	case opt.to != "" && opt.publisher() == nil:
		return fmt.Errorf("--to %.100q: give nats://HOST:PORT/STREAM/SUBJECT or kafka://HOST:PORT/TOPIC", opt.to)
	case (opt.http == "") != (opt.cursor == ""):
		return errors.New("--http and --cursor belong together: give both")
	case opt.data == "" && opt.blobs != "":
		return errors.New("--blobs is of --data: a node knows its own")
	}
	if opt.http != "" {
		if u, err := url.Parse(opt.http); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("--http %q: give http://host/path or https://host/path", opt.http)
		}
	}
	return opt.feed.Classes.Check()
}

// begin reads where a feed without a cursor begins.
func (opt *feedOptions) begin() (err error) {
	if opt.after == "latest" {
		opt.query.Latest = true
		return nil
	}
	opt.query.After, err = optionalMoment("--after", opt.after, true)
	return err
}

// open opens where the feed goes to.
func (opt *feedOptions) open(ctx context.Context, out io.Writer) (sink feed.Sink, closes func() error, err error) {
	nothing := func() error { return nil }
	trouble := func(err error) { fmt.Fprintf(opt.log, "zrsd: %v\n", err) }
	switch {
	case opt.to != "":
		return opt.publisher()(ctx, opt.to, trouble)
	case opt.output != "":
		f, err := feed.OpenFile(vfs.OS{}, opt.output)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	case opt.http != "":
		return &feed.HTTP{
			URL: opt.http, Source: "zrsd/" + opt.storage, Client: &http.Client{Timeout: time.Minute}, Disk: vfs.OS{},
			File: opt.cursor, Trouble: trouble,
		}, nothing, nil
	}
	return feed.Writer{To: out}, nothing, nil
}

// A publisher opens the place of an address.
type publisher func(ctx context.Context, address string, trouble func(error)) (feed.Sink, func() error, error)

// publisher returns what opens the address of --to, nil for an unknown scheme.
func (opt *feedOptions) publisher() publisher {
	switch scheme, _, _ := strings.Cut(opt.to, "://"); scheme {
	case "nats", "tls":
		return func(ctx context.Context, to string, trouble func(error)) (feed.Sink, func() error, error) {
			s, err := feed.OpenJetStream(ctx, to, trouble)
			if err != nil {
				return nil, nil, err
			}
			return s, s.Close, nil
		}
	case "kafka", "kafka+tls":
		return func(ctx context.Context, to string, trouble func(error)) (feed.Sink, func() error, error) {
			s, err := feed.OpenKafka(ctx, to, trouble)
			if err != nil {
				return nil, nil, err
			}
			return s, s.Close, nil
		}
	}
	return nil
}

// read feeds from a file.
func (opt *feedOptions) read(ctx context.Context, sink feed.Sink) (err error) {
	at := filestorage.AttachOptions{}
	if opt.blobs != "" {
		blobs, err := blobstore.Open(opt.blobs, blobstore.Options{ReadOnly: true})
		if err != nil {
			return cannotOpen(err)
		}
		at.Blobs = blobs
	}
	st, err := filestorage.Attach(ctx, opt.data, at)
	if err != nil {
		return asOpenError(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return feedRefused(node.Feed(ctx, st, opt.query, quietSink{sink}, node.Paths{Data: opt.data}))
}

// A quietSink needs no signs of life.
type quietSink struct{ feed.Sink }

// Idle is of admin.FeedSink.
func (quietSink) Idle(context.Context) error { return nil }

// ask feeds from a node, and again from where it was when the node was away.
func (opt *feedOptions) ask(ctx context.Context, address string, sink feed.Sink) error {
	addr, dial, err := opt.connect(ctx, address)
	if err != nil {
		return err
	}
	for {
		err := admin.AskFeed(ctx, dial, opt.storage, opt.query, func(from feed.Source) error {
			return feed.Run(ctx, from, putting{sink}, func(tid zodb.Tid) {
				opt.query.After, opt.query.Exact, opt.query.Latest = tid, true, false
			})
		})
		var refusal *admin.Refusal
		var own *sinkError
		switch {
		case err == nil, ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case errors.As(err, &own):
			return own.err
		case errors.As(err, &refusal) && !passes(refusal.Reason), !opt.follow:
			return asked("feed", addr, err)
		}
		fmt.Fprintf(opt.log, "zrsd: feed of %v, asking again: %v\n", addr, err)
		pause.For(ctx, feedRetry)
	}
}

// passes reports whether a node may answer otherwise later.
func passes(reason admin.Reason) bool { return reason == admin.Unavailable || reason == admin.Busy }

// A sinkError is what the place of the feed says: it has nothing to do with the node.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// putting marks the errors of a sink.
type putting struct{ feed.Sink }

// Put is of feed.Sink.
func (p putting) Put(ctx context.Context, lines []feed.Line) error {
	if err := p.Sink.Put(ctx, lines); err != nil {
		return &sinkError{err}
	}
	return nil
}

// feedRefused gives its exit code to what a file has to say.
func feedRefused(err error) error {
	var refusal *admin.Refusal
	switch {
	case errors.As(err, &refusal):
		return coded(exitRefused, err)
	case errors.Is(err, context.Canceled):
		return nil
	}
	return asOpenError(err)
}
