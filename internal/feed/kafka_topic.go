package feed

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/zrsd/zrsd/internal/pause"
)

// kafkaPoll is how often brokers are asked for what they are about to know.
const kafkaPoll = 100 * time.Millisecond

// cursorConfig are the settings of a new topic for the cursor. Compaction leaves the last file of the log alone, so
// files are small.
var cursorConfig = map[string]string{"cleanup.policy": "compact", "segment.bytes": "16777216"}

// prepare looks the topics up, and makes the one for the cursor.
func (s *Kafka) prepare(ctx context.Context) error {
	topic, err := lookUp(ctx, s.client, s.topic)
	if err != nil {
		return err
	}
	if topic == nil {
		return fmt.Errorf("%v %w: there is none: make it first, with one partition", s, errFinal)
	}
	cursors, err := lookUp(ctx, s.client, s.topic+cursorSuffix)
	if err != nil {
		return err
	}
	if cursors == nil {
		if err := s.makeCursors(ctx, len(topic.Replicas)); err != nil {
			return fmt.Errorf("make topic %s: %w", s.topic+cursorSuffix, err)
		}
		if err := s.awaitCursors(ctx); err != nil {
			return err
		}
	}
	return s.readSettings(ctx)
}

// A leading is where the partition of a topic is.
type leading struct {
	id       [16]byte
	leader   int32
	Replicas []int32
}

// lookUp returns where a topic is, nil where there is none.
func lookUp(ctx context.Context, client *kgo.Client, topic string) (*leading, error) {
	req := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req.Topics = append(req.Topics, asked)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		if t.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			return nil, nil //nolint:nilnil // as documented
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("ask for topic %s: %w", topic, err)
		}
		for _, p := range t.Partitions {
			if p.Partition != partition {
				continue
			}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("partition %d of topic %s: %w", partition, topic, err)
			}
			return &leading{t.TopicID, p.Leader, p.Replicas}, nil
		}
	}
	return nil, fmt.Errorf("topic %s has no partition %d", topic, partition)
}

// makeCursors makes the topic of the cursor, with as many replicas as the other one has.
func (s *Kafka) makeCursors(ctx context.Context, replicas int) error {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions = s.topic+cursorSuffix, 1
	topic.ReplicationFactor = int16(replicas)
	for name, value := range cursorConfig {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, &value
		topic.Configs = append(topic.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && t.ErrorCode != kerr.TopicAlreadyExists.Code {
			return err
		}
	}
	return nil
}

// awaitCursors waits until the brokers know the new topic.
func (s *Kafka) awaitCursors(ctx context.Context) error {
	for {
		found, err := lookUp(ctx, s.client, s.topic+cursorSuffix)
		if found != nil || err != nil && !kerr.IsRetriable(err) {
			return err
		}
		if pause.For(ctx, kafkaPoll); ctx.Err() != nil {
			return fmt.Errorf("wait for topic %s: %w", s.topic+cursorSuffix, context.Cause(ctx))
		}
	}
}

// readSettings reads how much the topic takes at once, and refuses to keep a cursor where it is removed by age. Where
// the settings may not be read, the defaults count.
func (s *Kafka) readSettings(ctx context.Context) error {
	settings, err := s.settings(ctx, s.topic)
	if err != nil {
		return err
	}
	if limit, err := strconv.ParseInt(settings["max.message.bytes"], 10, 32); err == nil {
		s.limit = min(max(int32(limit), 512), largestBatch) // what the client takes
	}
	settings, err = s.settings(ctx, s.topic+cursorSuffix)
	if err != nil {
		return err
	}
	if policy := settings["cleanup.policy"]; policy != "" && policy != "compact" {
		return fmt.Errorf("%v %w: topic %s has cleanup.policy=%s, and would lose the cursor: give it "+
			"cleanup.policy=compact", s, errFinal, s.topic+cursorSuffix, policy)
	}
	return nil
}

// settings returns those of a topic, none where they may not be read.
func (s *Kafka) settings(ctx context.Context, topic string) (map[string]string, error) {
	asked := kmsg.NewDescribeConfigsRequestResource()
	asked.ResourceType, asked.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	asked.ConfigNames = []string{"max.message.bytes", "cleanup.policy"}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, asked)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return nil, fmt.Errorf("read the settings of topic %s: %w", topic, err)
	}
	found := map[string]string{}
	for _, r := range resp.Resources {
		for _, c := range r.Configs {
			if c.Value != nil {
				found[c.Name] = strings.ReplaceAll(*c.Value, " ", "")
			}
		}
	}
	return found, nil
}
