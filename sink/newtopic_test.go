package sink_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/schema"
)

// recreate deletes the topic and creates it again, and produces the deliveries into its first partition.
func (w *world) recreate(partitions int, deliveries ...delivery) {
	w.Helper()
	w.loseTopic()
	w.remake(partitions, deliveries...)
}

// recreateSeen is recreate under a running sink, which asks for the topic while it is gone. One that sleeps through it all,
// and whose connection lasts, cannot tell until verify compares the bytes.
func (w *world) recreateSeen(partitions int, deliveries ...delivery) {
	w.Helper()
	w.loseTopic()
	// The next fetch; or, where one was under way and has been answered with the loss, the question who leads now.
	asked := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.Metadata}, Observe: true, Count: -1})
	defer asked.Remove()
	w.eventually("the sink asks for the topic that is gone", func() (bool, string) { return asked.Hits() > 0, "nobody asks" })
	w.remake(partitions, deliveries...)
}

func (w *world) loseTopic() {
	w.Helper()
	if err := w.kafka.Cluster().DeleteTopic(topic); err != nil {
		w.Fatal(err)
	}
}

func (w *world) remake(partitions int, deliveries ...delivery) {
	w.Helper()
	w.createTopic(partitions)
	w.epoch++
	w.client.Transport.(*kafka.Transport).CloseIdleConnections() // the test's own
	w.eventually("the test's own producer knows", func() (bool, string) {
		err := w.tryProduce(w.Context(), 0, deliveries...)
		return err == nil, fmt.Sprint(err)
	})
}

// entries are the ledger's, by epoch.
func (w *world) entries() map[uint32]uint64 {
	w.Helper()
	counts := map[uint32]uint64{}
	for _, r := range scan[struct {
		Epoch uint32 `ch:"topic_epoch"`
		N     uint64 `ch:"n"`
	}](w, `SELECT topic_epoch, count() AS n FROM {db}.deliveries FINAL GROUP BY topic_epoch`) {
		counts[r.Epoch] = r.N
	}
	return counts
}

func (w *world) epochStarts() []schema.EpochStart {
	w.Helper()
	starts, err := schema.EpochStarts(w.Context(), w.conn, w.db)
	if err != nil {
		w.Fatal(err)
	}
	return starts
}

// The ways in which a topic shows that it is another one than before: each stops the sink, without a row and without a
// commit, and each is accepted; then the books have both epochs, and events that came in both are there once.
func TestANewTopicStopsTheSinkUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	redelivered := append(events(80, 40), bad("not json", schema.InvalidJSON)) // 20 that the old topic had, 20 new
	for name, c := range map[string]struct {
		change func(w *world) // of a topic with 100 records that have been read
		says   string
	}{
		"shorter": {
			func(w *world) { w.recreate(1, redelivered...); w.commit(kafka.OffsetCommit{Offset: 100}) },
			"the next offset to read is 100, but the log ends at 41",
		},
		"shorter, and Kafka has forgotten the group": { // what Apache Kafka does when the topic is deleted
			func(w *world) { w.recreate(1, redelivered...); w.deleteGroup() },
			"the ledger goes to offset 99, but the log ends at 41",
		},
		"longer": {
			func(w *world) {
				w.recreate(1, append(events(200, 100), redelivered...)...)
				w.commit(kafka.OffsetCommit{Offset: 100})
			},
			"the record at offset 99 is not the one that the ledger has there",
		},
		"shorter, and somebody has set the group's offset back": {
			func(w *world) { w.recreate(1, redelivered...); w.commit(kafka.OffsetCommit{Offset: 0}) },
			"the ledger goes to offset 99, but the log ends at 41",
		},
		"longer, and Kafka has forgotten the group": {
			func(w *world) { w.recreate(1, append(events(200, 100), redelivered...)...); w.deleteGroup() },
			"the record at offset 99 is not the one that the ledger has there",
		},
		"accepted by a sink that was killed before it set the offsets": {
			func(w *world) {
				w.recreate(1, append(events(200, 100), redelivered...)...)
				w.commit(kafka.OffsetCommit{Offset: 100})
				if err := schema.RecordEpoch(w.Context(), w.conn, w.db, []schema.EpochStart{{Epoch: 1}}, "test", time.Now()); err != nil {
					w.Fatal(err)
				}
			},
			"epoch 1 begins at offset 0 and the ledger has nothing of it, but the group's offset is 100",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.produce(0, append(events(0, 99), bad("no json", schema.InvalidJSON))...)
			r := w.start(w.config())
			w.check()
			r.stop()
			c.change(w)
			before := w.committed()[0]
			err := w.start(w.config()).fails()
			if err == nil || !strings.Contains(err.Error(), "topic leadron.events partition 0: "+c.says) ||
				!strings.Contains(err.Error(), "stop every sink of group leadhouse-sink, start one with --accept-new-topic") {
				t.Errorf("Run: %v, want it to say %q and what to do", err, c.says)
			}
			if got := w.committed()[0]; max(got, 0) != max(before, 0) {
				t.Errorf("committed %d, want %d as before", got, before)
			}
			if got := w.entries(); got[0] != 100 || got[1] != 0 {
				t.Errorf("the ledger has %v, want the 100 of before", got)
			}

			cfg := w.config()
			cfg.AcceptNewTopic = true
			r = w.start(cfg)
			w.check()
			if got := w.epochStarts(); len(got) != 1 || got[0] != (schema.EpochStart{Epoch: 1}) {
				t.Errorf("epochs %v", got)
			}
			r.awaitReady()
			r.stop()
			w.produce(0, events(400, 50)...)
			w.start(w.config())
			w.check()
			w.balance()
		})
	}
}

// Where the topic is the one that the ledger knows, the flag does nothing, whoever else is in the group.
func TestWithNothingToAcceptTheFlagChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2})
	w.spread(2, events(0, 200)...)
	var log buffer
	cfg := w.config()
	cfg.AcceptNewTopic, cfg.Logger = true, zerolog.New(&log)
	w.start(w.config())
	w.check()
	second := w.start(cfg)
	second.awaitReady()
	w.spread(2, events(200, 200)...)
	w.check()
	if got := w.epochStarts(); len(got) != 0 {
		t.Errorf("epochs %v, want none", got)
	}
	if !strings.Contains(log.String(), "no new topic to accept") {
		t.Errorf("the log does not say that there was nothing to do:\n%s", log.String())
	}
}

func TestANewTopicIsNotAcceptedWhileTheGroupHasMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.produce(0, events(0, 50)...)
	w.commit(kafka.OffsetCommit{Partition: 0, Offset: 500})
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: w.brokers, Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := member.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cfg := w.config()
	cfg.AcceptNewTopic = true
	err = w.start(cfg).fails()
	if err == nil || !strings.Contains(err.Error(), "group leadhouse-sink has 1 members: stop every sink of the group first") {
		t.Errorf("Run: %v", err)
	}
	if got := w.epochStarts(); len(got) != 0 {
		t.Errorf("epochs %v, want none", got)
	}
	w.untouched(500)
	if err := member.Close(); err != nil {
		t.Fatal(err)
	}
	cfg = w.config()
	cfg.AcceptNewTopic = true
	w.epoch = 1
	for i := range w.journal { // it was never read as epoch 0
		w.journal[i].epoch = 1
	}
	w.start(cfg)
	w.check()
}

// Two sinks that are both told to accept, at the same time: one epoch, and every record under it.
func TestTwoSinksAcceptOneEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2})
	w.spread(2, events(0, 400)...)
	r := w.start(w.config())
	w.check()
	r.stop()
	w.recreate(2, events(300, 100)...)
	w.produce(1, events(500, 100)...)
	w.commit(kafka.OffsetCommit{Partition: 0, Offset: 200}, kafka.OffsetCommit{Partition: 1, Offset: 200})
	first, second := w.config(), w.config()
	first.AcceptNewTopic, second.AcceptNewTopic = true, true
	both := []*running{w.start(first), w.start(second)}
	w.check()
	if got := w.epochStarts(); len(got) != 2 || got[0] != (schema.EpochStart{Epoch: 1}) || got[1] != (schema.EpochStart{Epoch: 1, Partition: 1}) {
		t.Errorf("epochs %v, want one of two partitions", got)
	}
	for _, r := range both { // one may have come too late, and say so
		select {
		case <-r.done:
			if r.err == nil || !strings.Contains(r.err.Error(), "stop every sink") {
				t.Errorf("Run: %v", r.err)
			}
		default:
		}
	}
}

// The topic is deleted and created again under a sink that runs.
func TestATopicThatIsRecreatedUnderARunningSinkStopsIt(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"shorter": 30, "longer": 150} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.produce(0, events(0, 100)...)
			r := w.start(w.config())
			w.check()
			w.recreateSeen(1, events(100, n)...)
			if err := r.fails(); err == nil || !strings.Contains(err.Error(), "--accept-new-topic") {
				t.Errorf("Run: %v", err)
			}
			if got := w.entries(); got[0] != 100 {
				t.Errorf("the ledger has %v, want the 100 of before", got)
			}
			cfg := w.config()
			cfg.AcceptNewTopic = true
			w.start(cfg)
			w.check()
		})
	}
}
