package bi

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

const (
	events     = 6000 // of Journeys: each view has rows, and all is written in a second
	span       = 180 * 24 * time.Hour
	partitions = 4
	flushes    = 5                       // a flush is a part in every table
	repeated   = 7                       // every so manieth delivery comes again in a later flush
	lag        = 1500 * time.Millisecond // from the event to ingest, and from there to the row
)

// A parcel is a delivery with its place in Kafka.
type parcel struct {
	key, body []byte
	rec       schema.Record
}

// fill writes what a sink writes: the events of half a year that ends at end, one delivery in seven twice, and the odd ones.
func fill(ctx context.Context, conn driver.Conn, end time.Time) error {
	w, err := schema.Load(ctx, conn, Database)
	if err != nil {
		return err
	}
	first, again := deliver(end)
	size := (len(first) + flushes - 1) / flushes
	batches := append(slices.Collect(slices.Chunk(first, size)),
		again,        // in a block of their own: two rows of one ID in one block are one before they reach the disk
		first[:size]) // as after a kill between insert and commit: the same positions, the same rows
	for _, batch := range batches {
		if err := flush(ctx, conn, w, batch); err != nil {
			return fmt.Errorf("fill the warehouse: %w", err)
		}
	}
	return checkDuplicates(ctx, conn, w)
}

// deliver puts the deliveries where Kafka has them, and apart those that come again.
func deliver(end time.Time) (first, again []parcel) {
	put := func(list *[]parcel, key string, body []byte, received time.Time) {
		partition := int32(crc32.ChecksumIEEE([]byte(key)) % partitions)
		*list = append(*list, parcel{[]byte(key), body, schema.Record{Partition: partition, ReceivedAt: received, LoadedAt: received.Add(lag)}})
	}
	for _, d := range local.Malformed(9) {
		put(&first, "malformed", d.Body, end.Add(-span))
	}
	world := local.Journeys{Seed: 5, Events: events, Start: end.Add(-span), Span: span - time.Minute, Documents: true}
	for d := range world.All() {
		put(&first, d.Key, d.Body, d.Time.Add(lag))
		if len(first)%repeated == 0 {
			put(&again, d.Key, d.Body, d.Time.Add(time.Minute))
		}
	}
	for _, body := range odd(end) {
		put(&first, "odd", body, end.Add(lag))
		put(&again, "odd", body, end.Add(30*time.Second))
	}
	put(&again, "odd", conflict(end), end.Add(30*time.Second))

	var offsets [partitions]int64
	for _, list := range [][]parcel{first, again} {
		for i := range list {
			rec := &list[i].rec
			rec.Offset = offsets[rec.Partition]
			offsets[rec.Partition]++
		}
	}
	return first, again
}

// odd are events that have something wrong, or something new: all of them stay to be found with SQL.
func odd(at time.Time) [][]byte {
	var all [][]byte
	for i, e := range []struct{ typ, data string }{
		{"commission.earned", `{"commissionId":"com_odd_1","amount":"12,50","partnerId":"ptr_odd"}`}, // no number
		{"opportunity.created", `{"opportunityId":"opp_odd_1","value":0.0000000001,"stage":"discovery"}`},
		{"lead.created", `{"leadId":"ld_odd_1","email":7,"source":null}`},
		{"form.submitted", `{"formId":"frm_odd","leadId":"ld_nobody","fields":{"name":"Zoë \"Z\"","email":"zoe@example.com","budget":12.50,"tags":["a","b"]}}`},
		{"commission.paid", `{"commissionId":"com_odd_2","amount":100.000000001}`}, // nobody earned it
		{"commission.earned", `{"commissionId":"com_odd_3","amount":12345678901234567890.123456789,"partnerId":"ptr_odd"}`},
		{"opportunity.stage_changed", `{"opportunityId":"opp_odd_2","from":"discovery","to":"proposal"}`}, // of an unknown one
		{"lead.converted", `{"leadId":"ld_odd_1","opportunityId":"opp_odd_1"}`},                           // no catalog names it
		{"partner.approved", `{}`}, // of whom?
		{"pricing", `{"plan":"pro"}`},
	} {
		all = append(all, event(fmt.Sprintf("evt_odd_%02d", i), e.typ, e.data, at))
	}
	return all
}

// conflict is another content under an event ID that has been taken.
func conflict(at time.Time) []byte {
	return event("evt_odd_04", "commission.paid", `{"commissionId":"com_odd_2","amount":1}`, at)
}

func event(id, typ, data string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"id":%q,"type":%q,"createdAt":%q,"data":%s}`, id, typ, at.UTC().Format("2006-01-02T15:04:05.000Z"), data)
}

// flush is a sink's: a block for each table, and the ledger last.
func flush(ctx context.Context, conn driver.Conn, w *schema.Warehouse, parcels []parcel) error {
	var decoder schema.Decoder
	blocks := map[string]*schema.EventBlock{}
	ledger, letters := schema.NewDeliveryBlock(w.Database), schema.NewDeadLetterBlock(w.Database)
	for _, p := range parcels {
		e, err := decoder.Decode(p.body)
		if err != nil {
			refusal, ok := errors.AsType[*schema.Refusal](err)
			if !ok {
				return fmt.Errorf("decode a delivery: %w", err)
			}
			letters.Append(p.key, p.body, nil, refusal.Reason, refusal.Detail, p.rec)
			ledger.Append("", p.body, p.rec, schema.DeadLettered)
			continue
		}
		table := w.TableFor(e.Type)
		if blocks[table.Name] == nil {
			blocks[table.Name] = schema.NewEventBlock(w, table)
		}
		blocks[table.Name].Append(e, p.body, p.rec)
		ledger.Append(e.ID, p.body, p.rec, schema.Inserted)
	}
	for _, b := range blocks {
		if err := b.Insert(ctx, conn, ""); err != nil {
			return err
		}
	}
	if letters.Rows() > 0 {
		if err := letters.Insert(ctx, conn, ""); err != nil {
			return err
		}
	}
	return ledger.Insert(ctx, conn, "")
}

// checkDuplicates: **without them no test of a client would prove anything.**
func checkDuplicates(ctx context.Context, conn driver.Conn, w *schema.Warehouse) error {
	const position = "(topic_epoch, kafka_partition, kafka_offset)"
	keys := map[string]string{"deliveries": position, "dead_letters": position}
	for _, t := range w.Tables {
		keys[t.Name] = "event_id"
	}
	for table, key := range keys {
		var raw, distinct uint64
		err := conn.QueryRow(ctx, fmt.Sprintf("SELECT count(), uniqExact(%s) FROM %s.%s", key, w.Database, table)).Scan(&raw, &distinct)
		if err != nil {
			return fmt.Errorf("count %s: %w", table, err)
		}
		if distinct == 0 || raw == distinct {
			return fmt.Errorf("%s holds %d rows of %d keys: no duplicate was planted", table, raw, distinct)
		}
	}
	return nil
}
