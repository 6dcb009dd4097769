package sink_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// event is a delivery of the type, with that data.
func event(id, eventType, data string) delivery {
	entity, _, _ := strings.Cut(eventType, ".")
	table := "other_events"
	switch entity {
	case "lead", "opportunity", "partner", "commission", "task", "form":
		if eventType != entity {
			table = entity + "_events"
		}
	}
	return delivery{
		key: id, id: id, table: table,
		body:    fmt.Sprintf(`{"id":%q,"type":%q,"createdAt":"2026-05-27T23:34:12.345Z","data":%s}`, id, eventType, data),
		headers: []kafka.Header{{Key: "event-id", Value: []byte(id)}, {Key: "event-type", Value: []byte(eventType)}},
	}
}

// in is the delivery, expected in another table.
func (d delivery) in(table string) delivery {
	d.table = table
	return d
}

// bad is a delivery whose body is no envelope.
func bad(body string, reason schema.Reason) delivery {
	return delivery{body: body, reason: reason, headers: []kafka.Header{{Key: "signature-secret-id", Value: []byte("s1")}}}
}

// events makes n different deliveries of mixed types, numbered from the first.
func events(first, n int) []delivery {
	made := make([]delivery, n)
	for i := range made {
		id := fmt.Sprintf("evt_%026d", first+i)
		switch (first + i) % 7 {
		case 0:
			made[i] = event(id, "lead.created", fmt.Sprintf(`{"leadId":"ld_%d","email":"p%d@acme.com","source":"web_form"}`, first+i, first+i))
		case 1:
			made[i] = event(id, "opportunity.created", fmt.Sprintf(`{"opportunityId":"opp_%d","value":%d.25,"stage":"discovery"}`, first+i, first+i))
		case 2:
			made[i] = event(id, "partner.registered", `{"partnerId":"ptr_789","company":"Partner Co"}`)
		case 3:
			made[i] = event(id, "commission.earned", `{"commissionId":"com_101","amount":500,"partnerId":"ptr_789"}`)
		case 4:
			made[i] = event(id, "task.created", `{"taskId":"tsk_202","title":"Follow up","assigneeId":"usr_303"}`)
		case 5:
			made[i] = event(id, "form.submitted", `{"formId":"frm_404","leadId":"ld_123","fields":{"name":"Jane","email":"jane@acme.com"}}`)
		default:
			made[i] = event(id, "invoice.sent", `{"invoiceId":"inv_1"}`) // no catalog knows it
		}
	}
	return made
}

// produce appends the deliveries to one partition, in one request, and journals them.
func (w *world) produce(partition int, deliveries ...delivery) {
	w.Helper()
	if err := w.tryProduce(w.Context(), partition, deliveries...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tryProduce(ctx context.Context, partition int, deliveries ...delivery) error {
	records := make([]kafka.Record, len(deliveries))
	for i, d := range deliveries {
		records[i] = kafka.Record{Time: cmp.Or(d.at, time.Now()), Value: kafka.NewBytes([]byte(d.body)), Headers: d.headers}
		if d.key != "" {
			records[i].Key = kafka.NewBytes([]byte(d.key))
		}
	}
	answer, err := w.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, d := range deliveries {
		w.journal = append(w.journal, sent{d, partition, answer.BaseOffset + int64(i), w.epoch})
	}
	return nil
}

// spread produces the deliveries in requests of up to 100, over all partitions in turn.
func (w *world) spread(partitions int, deliveries ...delivery) {
	w.Helper()
	for i := 0; len(deliveries) > 0; i++ {
		n := min(100, len(deliveries))
		w.produce(i%partitions, deliveries[:n]...)
		deliveries = deliveries[n:]
	}
}

// committed are the group's offsets by partition.
func (w *world) committed() map[int]int64 {
	w.Helper()
	offsets, err := w.client.ConsumerOffsets(w.Context(), kafka.TopicAndGroup{Topic: topic, GroupId: group})
	if err != nil {
		w.Fatalf("ask for committed offsets: %v", err)
	}
	return offsets
}

// rewind sets the group's offsets back to 0, as an operator does. The group must have no members.
func (w *world) rewind() {
	w.Helper()
	var commits []kafka.OffsetCommit
	for partition := range w.committed() {
		commits = append(commits, kafka.OffsetCommit{Partition: partition, Offset: 0})
	}
	w.commit(commits...)
}

func (w *world) commit(commits ...kafka.OffsetCommit) {
	w.Helper()
	answer, err := w.client.OffsetCommit(w.Context(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
	})
	if err != nil {
		w.Fatalf("commit offsets by hand: %v", err)
	}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			w.Fatalf("commit offsets by hand: %v", p.Error)
		}
	}
}

// ends are the offsets after the last journaled record, by partition.
func (w *world) ends() map[int]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := map[int]int64{}
	for _, s := range w.journal {
		if s.epoch == w.epoch {
			ends[s.partition] = max(ends[s.partition], s.offset+1)
		}
	}
	maps.Copy(ends, w.end)
	return ends
}

// awaitCommitted waits until the group has committed everything that was produced.
func (w *world) awaitCommitted() {
	w.Helper()
	ends := w.ends()
	w.eventually(fmt.Sprintf("committed up to %v", ends), func() (bool, string) {
		committed := w.committed()
		for partition, end := range ends {
			if committed[partition] < end || w.epoch > 0 && committed[partition] > end { // still that of the topic before
				return false, fmt.Sprint(committed)
			}
		}
		return true, ""
	})
}
