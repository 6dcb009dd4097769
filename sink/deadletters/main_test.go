package deadletters_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

func TestMain(m *testing.M) {
	local.Init()
	if os.Getenv(childAddr) != "" {
		os.Exit(runChild())
	}
	goleak.VerifyTestMain(local.Tests(m))
}

// db is one test's warehouse on a real ClickHouse, with a sink's way of writing to it. Its check asserts every promise.
type db struct {
	testing.TB
	ch   *local.ClickHouse
	conn driver.Conn
	name string

	letters *schema.DeadLetterBlock
	ledger  *schema.DeliveryBlock
	next    int64 // offset of the next letter
}

func open(t *testing.T) *db {
	t.Helper()
	return openOn(t, local.Shared(t))
}

func openOn(t *testing.T, ch *local.ClickHouse) *db {
	t.Helper()
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &db{TB: t, ch: ch, conn: conn, name: ch.Database(t)}
	d.letters, d.ledger = schema.NewDeadLetterBlock(d.name), schema.NewDeliveryBlock(d.name)
	d.evolve(string(schema.BuiltinCatalog()))
	return d
}

func (d *db) evolve(catalog string) {
	d.Helper()
	c, err := schema.DecodeCatalog([]byte(catalog))
	if err != nil {
		d.Fatal(err)
	}
	state, err := schema.Inspect(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	plan, err := schema.Diff(schema.Infer(c), state)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := schema.Apply(d.Context(), d.conn, plan, "test", nil); err != nil {
		d.Fatal(err)
	}
}

func (d *db) exec(sql string) {
	d.Helper()
	if err := d.conn.Exec(d.Context(), d.in(sql)); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// in puts the test's database where a statement says db.
func (d *db) in(sql string) string { return strings.ReplaceAll(sql, "db.", d.name+".") }

func (d *db) want(sql, want string) {
	d.Helper()
	var got string
	if err := d.conn.QueryRow(d.Context(), d.in("SELECT toString(("+sql+"))")).Scan(&got); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	if got != want {
		d.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// dead is a letter as a sink writes it. Partition, offset and time have defaults: 3, the next one, a second later.
type dead struct {
	epoch     uint32
	partition int32
	body      string
	reason    schema.Reason
	detail    string
	key       string
	headers   []schema.Header
}

// bury writes letters and the ledger's entries, as a sink does that meets them first, or once more.
func (d *db) bury(letters ...dead) {
	d.Helper()
	for _, l := range letters {
		rec := at(l.partition, d.next)
		rec.Epoch = l.epoch
		d.letters.Append([]byte(l.key), []byte(l.body), l.headers, l.reason, l.detail, rec)
		d.ledger.Append("", []byte(l.body), rec, schema.DeadLettered)
		d.next++
	}
	d.flush()
}

func (d *db) flush() {
	d.Helper()
	if err := d.letters.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
	if err := d.ledger.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
	d.letters.Reset()
	d.ledger.Reset()
}

// at is a record at an offset, received a second after the offset before it.
func at(partition int32, offset int64) schema.Record {
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(offset) * time.Second)
	return schema.Record{Partition: partition, Offset: offset, ReceivedAt: received, LoadedAt: received.Add(time.Minute)}
}

// rejected are n letters that are events, which ClickHouse refused once.
func rejected(prefix string, n int, eventType string) []dead {
	list := make([]dead, n)
	for i := range list {
		list[i] = dead{body: event(fmt.Sprintf("%s_%06d", prefix, i), eventType, `{"leadId":"l_1","email":"a@example.com"}`), reason: schema.Rejected, detail: "code 469: said once"}
	}
	return list
}

// event is a delivery.
func event(id, eventType, data string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"createdAt":"2026-05-27T23:34:12.345Z","data":%s}`, id, eventType, data)
}

func (d *db) config() deadletters.Config {
	return deadletters.Config{
		ClickHouse: d.conn, Database: d.name, RetryMin: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond,
		Logger: zerolog.New(zerolog.NewTestWriter(d)),
	}
}

func (d *db) table(cfg deadletters.Config) *deadletters.Table {
	d.Helper()
	t, err := deadletters.New(cfg)
	if err != nil {
		d.Fatal(err)
	}
	return t
}

func (d *db) sel(f deadletters.Filter) *deadletters.Selection {
	d.Helper()
	s, err := d.table(d.config()).Select(d.Context(), f)
	if err != nil {
		d.Fatal(err)
	}
	return s
}

var openOnes = deadletters.Filter{Statuses: []schema.Status{schema.Open}}

// replay replays what the filter means.
func (d *db) replay(f deadletters.Filter) deadletters.Result {
	d.Helper()
	result, err := replay(d.Context(), d.config(), f)
	if err != nil {
		d.Fatal(err)
	}
	return result
}

func replay(ctx context.Context, cfg deadletters.Config, f deadletters.Filter) (deadletters.Result, error) {
	t, err := deadletters.New(cfg)
	if err != nil {
		return deadletters.Result{}, err
	}
	s, err := t.Select(ctx, f)
	if err != nil {
		return deadletters.Result{}, err
	}
	return t.Replay(ctx, s, false)
}

func (d *db) discard(f deadletters.Filter) deadletters.Discarded {
	d.Helper()
	done, err := d.table(d.config()).Discard(d.Context(), d.sel(f))
	if err != nil {
		d.Fatal(err)
	}
	return done
}

// check: a letter for each position, its status agreeing with the ledger; what the ledger calls inserted is in a table
// once, and nothing else is; the bytes are those that came.
func (d *db) check(open, replayed, discarded int) {
	d.Helper()
	d.want("SELECT (countIf(status = 'open'), countIf(status = 'replayed'), countIf(status = 'discarded')) FROM db.dead_letters FINAL",
		fmt.Sprintf("(%d,%d,%d)", open, replayed, discarded))
	d.want(`SELECT countIf((status = 'replayed') != (outcome = 'inserted'))
		FROM (SELECT * FROM db.dead_letters FINAL) AS l FULL JOIN (SELECT * FROM db.deliveries FINAL) AS e
		USING (topic_epoch, kafka_partition, kafka_offset)`, "0")
	d.want("SELECT count() FROM db.deliveries FINAL", fmt.Sprint(open+replayed+discarded))
	d.want("SELECT countIf(xxHash64(l.payload) != e.body_hash) FROM (SELECT * FROM db.dead_letters FINAL) AS l INNER JOIN (SELECT * FROM db.deliveries FINAL) AS e USING (topic_epoch, kafka_partition, kafka_offset)", "0")
	d.want(`SELECT (count(), uniqExact(event_id)) = ((SELECT uniqExact(event_id_hash) FROM db.deliveries FINAL WHERE outcome = 'inserted') AS n, n) FROM db.events`, "1")
	d.want(`SELECT count() FROM db.events WHERE toFixedString(left(SHA256(event_id), 16), 16) NOT IN (SELECT event_id_hash FROM db.deliveries FINAL WHERE outcome = 'inserted')`, "0")
}
