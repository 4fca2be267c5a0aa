package kafkatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Client returns a client, which ends with the test.
func (b *Broker) Client(t *testing.T) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// MakeTopic makes a topic of one partition, with settings as NAME=VALUE.
func (b *Broker) MakeTopic(t *testing.T, name string, settings ...string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	for _, setting := range settings {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		var value string
		config.Name, value, _ = strings.Cut(setting, "=")
		config.Value = &value
		topic.Configs = append(topic.Configs, config)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, topic)
	client := b.Client(t)
	resp, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("make topic %s: %v", name, err)
	}
	b.awaitTopic(t, client, name)
}

// awaitTopic waits until the broker knows a topic that its controller has made.
func (*Broker) awaitTopic(t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &name
	req.Topics = append(req.Topics, asked)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := req.RequestWith(t.Context(), client)
		if err != nil {
			t.Fatalf("ask for topic %s: %v", name, err)
		}
		if found := resp.Topics[0]; found.ErrorCode == 0 && found.Partitions[0].ErrorCode == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("topic %s is not known: %v", name, t.Context().Err())
		}
	}
}

// Put writes a record of somebody else into partition 0 of a topic.
func (b *Broker) Put(t *testing.T, topic, key, value string) {
	t.Helper()
	record := &kgo.Record{Topic: topic, Value: []byte(value)}
	if key != "" {
		record.Key = []byte(key)
	}
	if err := b.Client(t).ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(fmt.Errorf("write into topic %s: %w", topic, err))
	}
}
