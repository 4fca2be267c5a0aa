package feed

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/zrsd/zrsd/internal/pause"
)

const (
	readBack  = 64      // offsets from the end that are read first
	readBytes = 1 << 20 // of a partition at once, but for a larger batch
	latest    = -1      // offsets that ListOffsets knows by a number
	earliest  = -2
	committed = 1 // the isolation level read_committed

	emptyAnswers = 3 // in a row, which say that there is nothing more
)

// lastRecord returns the last committed record of a topic, nil where there is none. It reads back from the end in
// growing steps: behind the last record are only the marks of transactions, and records of those that were aborted.
func lastRecord(ctx context.Context, client *kgo.Client, topic string) (*kgo.Record, error) {
	at, err := lookUp(ctx, client, topic)
	if err != nil {
		return nil, err
	}
	if at == nil {
		return nil, fmt.Errorf("topic %s is not there yet", topic)
	}
	begin, err := offset(ctx, client, topic, earliest)
	if err != nil {
		return nil, err
	}
	end, err := offset(ctx, client, topic, latest)
	if err != nil {
		return nil, err
	}
	for back := int64(readBack); ; back *= 8 {
		from := max(begin, end-back)
		last, err := lastBetween(ctx, client, topic, at, from, end)
		if err != nil || last != nil || from == begin {
			return last, err
		}
	}
}

// offset asks for the first offset, or for the one after what is committed.
func offset(ctx context.Context, client *kgo.Client, topic string, which int64) (int64, error) {
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = partition, which
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	asked.Partitions = append(asked.Partitions, part)
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = committed
	req.Topics = append(req.Topics, asked)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("ask for the end of topic %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			return p.Offset, kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return 0, errors.New("ask for the end of topic " + topic + ": an empty answer")
}

// lastBetween returns the last committed record in a range of offsets.
func lastBetween(ctx context.Context, client *kgo.Client, topic string, at *leading, from, end int64) (
	last *kgo.Record, err error,
) {
	empty := 0
	for from < end {
		part, err := fetch(ctx, client, topic, at, from)
		if err != nil {
			return nil, fmt.Errorf("read topic %s at %d: %w", topic, from, err)
		}
		read, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
		}, part, kgo.DefaultDecompressor(), nil)
		if read.Err != nil {
			return nil, fmt.Errorf("read topic %s at %d: %w", topic, from, read.Err)
		}
		for _, r := range read.Records {
			last = r
		}
		if next > from {
			from, empty = next, 0
			continue
		}
		if empty++; empty == emptyAnswers { // compaction may have removed the last marks
			return last, nil
		}
		if pause.For(ctx, kafkaPoll); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return last, nil
}

// fetch asks the leader of a partition for what is at an offset.
func fetch(ctx context.Context, client *kgo.Client, topic string, at *leading, from int64) (
	*kmsg.FetchResponseTopicPartition, error,
) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, from, readBytes
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID = topic, at.id
	asked.Partitions = append(asked.Partitions, part)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 500, 1, readBytes, committed
	req.Topics = append(req.Topics, asked)
	answer, err := client.Broker(int(at.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
		return nil, errors.New("an answer without the partition")
	}
	return &resp.Topics[0].Partitions[0], kerr.ErrorForCode(resp.ErrorCode)
}
