package integration

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/feed/kafkatest"
)

// TestAFeedToKafkaThatIsKilledMissesAndRepeatsNothing kills feeds into a topic of a real broker, each a little later in
// its life, while transactions are committed; at times there are two beside each other, and once the broker is killed,
// too. Kafka's own consumer reads each transaction once, in order.
func TestAFeedToKafkaThatIsKilledMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Start(t)
	broker.MakeTopic(t, "zodb")
	s := newSite(t, false)
	st := s.open(t)
	defer st.Close()
	w := &pageWriter{st: st}
	args := []string{"feed", "--data", s.data, "--to", "kafka://" + broker.Address + "/zodb"}
	kills := 15
	if os.Getenv("ZRSD_LONG") == "1" {
		kills = 100
	}
	w.commit(t, 500)
	for kill := range kills {
		life, cancel := context.WithTimeout(t.Context(), time.Duration(100+20*kill)*time.Millisecond)
		var feeds []*exec.Cmd
		for range 1 + kill%2 {
			cmd := exec.CommandContext(life, zrsd, append(args, "--follow")...) // its context kills it
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, cmd)
		}
		for range 20 { // one by one, so that there are many transactions of Kafka
			w.commit(t, 10)
			durable(t, st)
		}
		if kill%15 == 9 {
			broker.Kill()
			broker.Up(t)
		}
		for _, cmd := range feeds {
			_ = cmd.Wait() // it was killed
		}
		cancel()
	}
	durable(t, st)
	if text, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	broker.Put(t, "zodb", "", "end") // which is the last one, if there is nothing else
	got := broker.Consume(t, "zodb", len(w.tids)+1)
	for i, tid := range w.tids {
		if !strings.HasPrefix(got[i], "zrsd-tid:"+tid.String()+"\t{\"tid\":\""+tid.String()) {
			t.Fatalf("record %d of %d is %s, want %v", i+1, len(got), got[i], tid)
		}
	}
	if last := got[len(got)-1]; !strings.HasSuffix(last, "\tend") {
		t.Errorf("after the last transaction is %s", last)
	}
}
