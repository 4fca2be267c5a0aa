package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/zrsd/zrsd/zodb"
)

// Kafka is a sink that writes transactions into partition 0 of a topic, and the cursor into a compacted topic beside
// it, in one transaction of Kafka. Who reads with read_committed sees both or none.
//
//	TOPIC, partition 0     tid A │ tid B │ tid C ‖ tid D │ …
//	TOPIC-zrsd-cursor                          C ‖           Cursor: C
//
// All feeds into a topic have one transactional id. A start makes the broker end what its predecessor has under way,
// and refuse it from then on (its epoch is older); only then it reads the cursor. So a killed process, a lost answer or
// a second feed make no transaction come twice or out of order. After any trouble the sink starts in the same way, and
// goes on from the cursor.
type Kafka struct {
	hosts   string
	topic   string
	opts    []kgo.Opt
	trouble func(error)
	client  *kgo.Client // nil after trouble
	limit   int32       // bytes of a batch that the topic takes
	last    zodb.Tid    // the cursor; 0: there is none
}

const (
	cursorSuffix = "-zrsd-cursor"
	cursorKey    = "cursor"         // of the records there, so that compaction keeps the last one
	kafkaTid     = "zrsd-tid"       // the header of each record
	kafkaWait    = 30 * time.Second // for a batch, and for a start
	kafkaRetries = 10 * time.Second // for one request
	kafkaAbort   = 2 * time.Second  // for readers' sake, where the feed is told to end
	kafkaTimeout = 40 * time.Second // after which a broker ends a transaction of whom it does not hear of
	smallBatch   = 1_000_012        // what a topic takes by default
	largestBatch = int32(96 << 20)  // a broker takes requests of 100 MiB by default
	partition    = 0                // one, so that the order is that of the history
	cursorRecord = len("0123456789abcdef")
)

// OpenKafka connects to brokers at kafka://HOST:PORT[,HOST:PORT…]/TOPIC, whose topic must be there; see kafkaAddress
// for TLS and passwords. Trouble is told why something is tried again.
func OpenKafka(ctx context.Context, address string, trouble func(error)) (*Kafka, error) {
	to, err := parseKafka(address)
	if err != nil {
		return nil, err
	}
	s := &Kafka{hosts: to.hosts(), topic: to.topic, trouble: trouble, limit: smallBatch}
	s.opts = append(to.opts, //nolint:gocritic // it is used once
		kgo.TransactionalID("zrsd-feed-"+s.topic), kgo.TransactionTimeout(kafkaTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RetryTimeout(kafkaRetries),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return s.limit }))
	if err := s.resume(ctx); err != nil {
		return nil, fmt.Errorf("open %v at %s: %w", s, s.hosts, err)
	}
	return s, nil
}

// resume fences who wrote before, and reads the cursor.
func (s *Kafka) resume(ctx context.Context) (err error) {
	s.drop()
	if s.client, err = kgo.NewClient(s.opts...); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.drop()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, kafkaWait)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("become the writer of %v: %w", s, err)
	}
	return s.readCursor(ctx)
}

// readCursor reads it, and refuses a topic that has records without one.
func (s *Kafka) readCursor(ctx context.Context) error {
	cursor, err := lastRecord(ctx, s.client, s.topic+cursorSuffix)
	if err != nil {
		return fmt.Errorf("read the cursor in topic %s: %w", s.topic+cursorSuffix, err)
	}
	if cursor != nil {
		s.last, err = zodb.ParseTid(string(cursor.Value))
		if err != nil || string(cursor.Key) != cursorKey || len(cursor.Value) != cursorRecord {
			return fmt.Errorf("%v %w: the last record of topic %s is no cursor: it is of a feed alone", s, errFinal,
				s.topic+cursorSuffix)
		}
		return nil
	}
	s.last = 0
	other, err := lastRecord(ctx, s.client, s.topic)
	if err != nil {
		return fmt.Errorf("read topic %s: %w", s.topic, err)
	}
	if other != nil {
		return fmt.Errorf("%v %w: it has records, and topic %s has no cursor: use a new topic", s, errFinal,
			s.topic+cursorSuffix)
	}
	return nil
}

// Cursor is of Sink.
func (s *Kafka) Cursor(context.Context) (tid zodb.Tid, ok bool, err error) {
	return s.last, s.last != 0, nil
}

// Put is of Sink. It ends when all lines were taken, when the topic has something else, or with ctx.
func (s *Kafka) Put(ctx context.Context, lines []Line) error {
	return publishAll(ctx, s, lines, s.trouble)
}

func (s *Kafka) position() zodb.Tid { return s.last }

// String is of fmt.Stringer.
func (s *Kafka) String() string { return "topic " + s.topic }

// publish writes lines and the cursor in one transaction. The client is good for another one only without an error: its
// successor must not write by an old cursor.
func (s *Kafka) publish(ctx context.Context, lines []Line) error {
	if s.client == nil {
		return errors.New("there is no connection") // resume is next
	}
	waiting, cancel := context.WithTimeoutCause(ctx, kafkaWait, errNotTaken)
	defer cancel()
	err := s.client.BeginTransaction()
	if err == nil {
		err = s.produce(waiting, lines)
	}
	if err == nil {
		err = s.client.EndTransaction(waiting, kgo.TryCommit)
	}
	if err == nil {
		s.last = lines[len(lines)-1].Tid
		return nil
	}
	if ctx.Err() != nil { // readers would wait for kafkaTimeout
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), kafkaAbort)
		_ = s.client.EndTransaction(short, kgo.TryAbort)
		cancel()
	}
	s.drop()
	return s.inWords(err, lines)
}

var (
	errNotTaken = fmt.Errorf("not taken in %v", kafkaWait)
	errFenced   = errors.New("another feed has begun to write there, or the transaction took too long")
)

// inWords says what an answer of a broker means, and which are final.
func (s *Kafka) inWords(err error, lines []Line) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		large := lines[0]
		for _, line := range lines {
			if len(line.JSON) > len(large.JSON) {
				large = line
			}
		}
		return fmt.Errorf("%v %w: transaction %v has %d bytes, and the topic takes %d: raise its max.message.bytes, "+
			"or choose objects with --class", s, errFinal, large.Tid, len(large.JSON), s.limit)
	case errors.Is(err, kerr.InvalidRecord):
		return fmt.Errorf("%v %w: it does not take records of this form; is it a compacted one? (%w)", s, errFinal, err)
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		return fmt.Errorf("%w (%w)", errFenced, err)
	}
	return err
}

// produce has all lines and the cursor taken by the brokers.
func (s *Kafka) produce(ctx context.Context, lines []Line) error {
	taken := make(chan error, len(lines)+1)
	put := func(r *kgo.Record) {
		r.Partition = partition
		s.client.Produce(ctx, r, func(_ *kgo.Record, err error) { taken <- err })
	}
	for _, line := range lines {
		put(&kgo.Record{
			Topic: s.topic, Value: bytes.TrimSuffix(line.JSON, []byte{'\n'}),
			Headers: []kgo.RecordHeader{{Key: kafkaTid, Value: []byte(line.Tid.String())}},
		})
	}
	put(&kgo.Record{
		Topic: s.topic + cursorSuffix, Key: []byte(cursorKey), Value: []byte(lines[len(lines)-1].Tid.String()),
	})
	for range len(lines) + 1 {
		select {
		case err := <-taken:
			if err != nil {
				return err
			}
		case <-ctx.Done(): // a record that may be with a broker is given up only by the end of the client
			return context.Cause(ctx)
		}
	}
	return nil
}

// drop ends the client; what it has under way is ended by the next one's start.
func (s *Kafka) drop() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// Close ends the connections.
func (s *Kafka) Close() error {
	s.drop()
	return nil
}
