package feed

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/zrsd/zrsd/internal/feed/kafkatest"
	"github.com/zrsd/zrsd/zodb"
)

// A kafkaTopic is a topic of a real broker, as others see it.
type kafkaTopic struct {
	broker *kafkatest.Broker
	name   string
}

// newTopic makes a topic.
func newTopic(t *testing.T, b *kafkatest.Broker, name string, settings ...string) *kafkaTopic {
	t.Helper()
	b.MakeTopic(t, name, settings...)
	return &kafkaTopic{b, name}
}

func (k *kafkaTopic) address() string { return "kafka://" + k.broker.Address + "/" + k.name }

func (k *kafkaTopic) sink(t *testing.T) *Kafka {
	t.Helper()
	sink, err := OpenKafka(t.Context(), k.address(), func(err error) { t.Log(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// openError returns what is said of an address.
func (k *kafkaTopic) openError(t *testing.T, address string) string {
	t.Helper()
	sink, err := OpenKafka(t.Context(), address, func(error) {})
	if err == nil {
		_ = sink.Close()
	}
	return fmt.Sprint(err)
}

// want ends the topic, and compares it with lines of transactions from 1 to the last one.
func (k *kafkaTopic) want(t *testing.T, last int) {
	t.Helper()
	k.broker.Put(t, k.name, "", "end")
	var want []string
	for i := range last {
		want = append(want, fmt.Sprintf("%s:%v\tline %d", kafkaTid, zodb.Tid(i+1), i+1))
	}
	want = append(want, "NO_HEADERS\tend")
	if got := k.broker.Consume(t, k.name, len(want)); !slices.Equal(got, want) {
		t.Errorf("the consumer got %q, want %q", got, want)
	}
}

// TestFeedsIntoKafka has one real broker for all, which takes long to start.
func TestFeedsIntoKafka(t *testing.T) {
	b := kafkatest.Start(t)
	for name, test := range map[string]func(*testing.T, *kafkaTopic){
		"cursor": kafkaCursor, "open": kafkaOpen, "fenced": kafkaFenced, "refused": kafkaRefused,
		"secure": kafkaSecure, "partitions": kafkaPartitions,
	} {
		t.Run(name, func(t *testing.T) { test(t, newTopic(t, b, name, "max.message.bytes=4096")) })
	}
}

// kafkaCursor writes the cursor with the data, for this process and for the next one.
func kafkaCursor(t *testing.T, k *kafkaTopic) {
	t.Helper()
	first := k.sink(t)
	if tid, ok, err := first.Cursor(t.Context()); ok || err != nil {
		t.Errorf("of an empty topic: %v, %v, %v", tid, ok, err)
	}
	for i := range 5 {
		if err := first.Put(t.Context(), natsLines(i+1, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sink := range []*Kafka{first, k.sink(t)} {
		if tid, ok, err := sink.Cursor(t.Context()); tid != 5 || !ok || err != nil {
			t.Errorf("%v, %v, %v", tid, ok, err)
		}
	}
	k.want(t, 5)
}

// kafkaOpen leaves transactions open, as a killed process does, more often than lastRecord reads at first.
func kafkaOpen(t *testing.T, k *kafkaTopic) {
	t.Helper()
	sink := k.sink(t)
	for range 36 { // before there is any cursor, too
		left(t, sink, natsLines(1, 5))
		if err := sink.resume(t.Context()); err != nil || sink.last != 0 {
			t.Fatalf("%v, %v", sink.last, err)
		}
	}
	if err := sink.Put(t.Context(), natsLines(1, 3)); err != nil {
		t.Fatal(err)
	}
	for range 36 {
		left(t, sink, natsLines(4, 9))
		if err := sink.resume(t.Context()); err != nil || sink.last != 3 {
			t.Fatalf("%v, %v", sink.last, err)
		}
	}
	left(t, sink, natsLines(4, 9))
	if err := k.sink(t).Put(t.Context(), natsLines(4, 6)); err != nil {
		t.Fatal(err)
	}
	k.want(t, 6)
}

// left leaves a transaction of a sink open.
func left(t *testing.T, s *Kafka, lines []Line) {
	t.Helper()
	if err := s.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := s.produce(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

// kafkaFenced has two feeds beside each other, of which the later one writes, and one of another history.
func kafkaFenced(t *testing.T, k *kafkaTopic) {
	t.Helper()
	killed := k.sink(t)
	if err := killed.Put(t.Context(), natsLines(1, 3)); err != nil {
		t.Fatal(err)
	}
	left(t, killed, natsLines(4, 4))
	next := k.sink(t)
	if err := next.Put(t.Context(), natsLines(4, 5)); err != nil {
		t.Fatal(err)
	}
	if err := killed.client.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("the older feed has committed")
	}
	killed.drop()
	if err := killed.Put(t.Context(), natsLines(4, 6)); err != nil { // 4 and 5 are there
		t.Fatal(err)
	}
	if err := next.Put(t.Context(), natsLines(6, 7)); err != nil {
		t.Fatal(err)
	}
	if err := killed.Put(t.Context(), natsLines(20, 21)); err == nil || !strings.Contains(err.Error(), "another feed") {
		t.Errorf("of another history: %v", err)
	}
	k.want(t, 7)
}

// kafkaRefused is what cannot be continued, in words.
func kafkaRefused(t *testing.T, k *kafkaTopic) {
	t.Helper()
	sink := k.sink(t)
	large := []Line{{1, make([]byte, 5000)}}
	if err := sink.Put(t.Context(), large); err == nil || !strings.Contains(err.Error(), "max.message.bytes") {
		t.Errorf("a large document: %v", err)
	}
	other := newTopic(t, k.broker, "others")
	other.broker.Put(t, other.name, "", "x")
	newTopic(t, k.broker, "aged")
	newTopic(t, k.broker, "aged"+cursorSuffix, "cleanup.policy=compact,delete")
	newTopic(t, k.broker, "foreign")
	newTopic(t, k.broker, "foreign"+cursorSuffix, "cleanup.policy=compact")
	k.broker.Put(t, "foreign"+cursorSuffix, "k", "x")
	at := "kafka://" + k.broker.Address
	for address, want := range map[string]string{
		other.address():                        "use a new topic",
		at + "/none":                           "make it first",
		at + "/aged":                           "would lose the cursor",
		at + "/foreign":                        "is no cursor",
		at + "/no/topic":                       "give kafka://HOST:PORT",
		"kafka://" + k.broker.Secure + "/none": "is this a plaintext connection",
	} {
		if got := k.openError(t, address); !strings.Contains(got, want) {
			t.Errorf("%s: %s", address, got)
		}
	}
}

// kafkaSecure is with TLS and a password.
func kafkaSecure(t *testing.T, k *kafkaTopic) {
	t.Helper()
	to := func(password string) string {
		return "kafka+tls://" + url.UserPassword(kafkatest.User, password).String() + "@" + k.broker.Secure + "/" +
			k.name + "?ca=" + k.broker.CA
	}
	sink, err := OpenKafka(t.Context(), to(kafkatest.Password), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Put(t.Context(), natsLines(1, 2)); err != nil {
		t.Fatal(err)
	}
	k.want(t, 2)
	if got := k.openError(t, to("wrong")); !strings.Contains(got, "SASL") || strings.Contains(got, "wrong") {
		t.Errorf("a wrong password: %s", got)
	}
}

// kafkaPartitions gives the topic more partitions, which changes neither the place of the records nor their order.
func kafkaPartitions(t *testing.T, k *kafkaTopic) {
	t.Helper()
	sink := k.sink(t)
	if err := sink.Put(t.Context(), natsLines(1, 2)); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = k.name, 4
	req.Topics = append(req.Topics, topic)
	if _, err := req.RequestWith(t.Context(), k.broker.Client(t)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Put(t.Context(), natsLines(3, 4)); err != nil {
		t.Fatal(err)
	}
	if err := k.sink(t).Put(t.Context(), natsLines(5, 9)); err != nil {
		t.Fatal(err)
	}
	k.want(t, 9)
}

// A feed that is told to end does not wait for a broker that is away, and its start fails in words.
func TestABrokerThatIsAwayIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := OpenKafka(ctx, "kafka://127.0.0.1:1,127.0.0.1:2/zodb", func(error) {})
	if err == nil || !strings.Contains(err.Error(), "open topic zodb at 127.0.0.1:1, 127.0.0.1:2") {
		t.Errorf("%v", err)
	}
}

// TestAddressesOfKafka are read, or refused in words that name no password.
func TestAddressesOfKafka(t *testing.T) {
	a, err := parseKafka("kafka+tls://u:p@h1:1,[::1]:2/a.b_c-d?sasl=plain")
	if err != nil || a.topic != "a.b_c-d" || a.hosts() != "h1:1, [::1]:2" {
		t.Errorf("%v, %v", a, err)
	}
	longTopic := strings.Repeat("a", 200)
	if _, err := parseKafka("kafka://h:1/" + longTopic); err != nil {
		t.Error(err)
	}
	for address, want := range map[string]string{
		"kafka://h:1":                    "topic",
		"kafka://h:1/a%20b":              "topic",
		"kafka://h:1/" + longTopic + "a": "topic",
		"kafka://h/topic":                "broker",
		"kafka://:1/topic":               "broker",
		"kafka://h:1,/topic":             "broker",
		"http://h:1/topic":               "give kafka://",
		"kafka://h:1/t?x=1":              "?x= is not known",
		"kafka://h:1/t?ca=x":             "kafka+tls",
		"kafka://h:1/t?sasl=plain":       "USER:PASSWORD",
		"kafka://u:pw@h:1/t?sasl=plain":  "kafka+tls",
		"kafka://u:pw@h:1/t?sasl=gssapi": "scram-sha-512",
		"kafka+tls://h:1/t?ca=/none":     "read the certificate authority",
		"kafka+tls://h:1/t?cert=/none":   "read cert",
		"kafka://u:pw%zz@h:1/t":          "escape what is special",
	} {
		if _, err := parseKafka(address); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
