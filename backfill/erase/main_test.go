package erase_test

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

	"github.com/leadhouse/leadhouse/backfill/erase"
	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

func TestMain(m *testing.M) {
	local.Init()
	if os.Getenv(childAddr) != "" {
		os.Exit(runChild())
	}
	goleak.VerifyTestMain(local.Tests(m))
}

// db is one test's warehouse on a real ClickHouse, with the builtin catalog.
type db struct {
	testing.TB
	ch     *local.ClickHouse
	conn   driver.Conn
	name   string
	offset int64 // of the next delivery
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
	c, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	d.evolve(c, schema.Materialize{})
	return d
}

func (d *db) evolve(c *schema.Catalog, which schema.Materialize) {
	d.Helper()
	state, err := schema.Inspect(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	plan, err := schema.DiffViews(schema.Infer(c), state, which)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := schema.Apply(d.Context(), d.conn, plan, "test", nil); err != nil {
		d.Fatal(err)
	}
}

func (d *db) load() *schema.Warehouse {
	d.Helper()
	w, err := schema.Load(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	return w
}

// in puts the test's database where a statement says db.
func (d *db) in(sql string) string { return strings.ReplaceAll(sql, "db.", d.name+".") }

func (d *db) exec(sql string) {
	d.Helper()
	if err := d.conn.Exec(d.Context(), d.in(sql)); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

func (d *db) ask(sql string) string {
	d.Helper()
	answer, err := d.ch.Query(d.Context(), d.in(sql))
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func (d *db) want(sql, want string) {
	d.Helper()
	if got := d.ask(sql); got != want {
		d.Errorf("%s:\n got %s\nwant %s", sql, got, want)
	}
}

// deliver writes deliveries as a sink does that has this view of the schema, ledger included.
func (d *db) deliver(w *schema.Warehouse, bodies ...string) {
	d.Helper()
	var decoder schema.Decoder
	ledger := schema.NewDeliveryBlock(d.name)
	for _, body := range bodies {
		e, err := decoder.Decode([]byte(body))
		if err != nil {
			d.Fatalf("%s: %v", body, err)
		}
		b := schema.NewEventBlock(w, w.TableFor(e.Type))
		b.Append(e, []byte(body), d.next())
		ledger.Append(e.ID, []byte(body), at(d.offset-1), schema.Inserted)
		if err := b.Insert(d.Context(), d.conn, ""); err != nil {
			d.Fatal(err)
		}
	}
	if err := ledger.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
}

// keepVersions ends merges, so that every version stays, and not mutations, as SYSTEM STOP MERGES would.
func (d *db) keepVersions(table string) {
	d.Helper()
	d.exec("ALTER TABLE db." + table + " MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1, min_age_to_force_merge_seconds = 0")
}

// letter writes a dead letter.
func (d *db) letter(key, body string, reason schema.Reason, detail string, headers ...schema.Header) {
	d.Helper()
	b := schema.NewDeadLetterBlock(d.name)
	b.Append([]byte(key), []byte(body), headers, reason, detail, d.next())
	if err := b.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
}

func (d *db) next() schema.Record { d.offset++; return at(d.offset - 1) }

func at(offset int64) schema.Record {
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(offset) * time.Second)
	return schema.Record{Partition: 3, Offset: offset, ReceivedAt: received, LoadedAt: received.Add(time.Minute)}
}

// event is a delivery. Its data is JSON.
func event(id, eventType, data string) string {
	return fmt.Sprintf(`{"id":%s,"type":%s,"createdAt":"2026-05-27T23:34:12.345Z","data":%s}`, quoted(id), quoted(eventType), data)
}

func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// config erases without settling: that is for tests that are about it.
func (d *db) config(leads ...string) erase.Config {
	return erase.Config{ClickHouse: d.conn, Database: d.name, Leads: leads, SettleFor: time.Nanosecond, Logger: zerolog.New(zerolog.NewTestWriter(d))}
}

func (d *db) erase(leads ...string) *erase.Report {
	d.Helper()
	return d.run(d.config(leads...))
}

func (d *db) run(cfg erase.Config) *erase.Report {
	d.Helper()
	report, err := try(d.Context(), cfg)
	if err != nil {
		d.Fatal(err)
	}
	return report
}

func try(ctx context.Context, cfg erase.Config) (*erase.Report, error) {
	e, err := erase.New(cfg)
	if err != nil {
		return nil, err
	}
	return e.Run(ctx)
}

// data are all bytes of all tables with personal data, masked rows included.
func (d *db) data() string {
	d.Helper()
	var all strings.Builder
	for _, t := range d.load().Tables {
		all.WriteString(d.ask("SELECT * FROM db." + t.Name + " ORDER BY ALL FORMAT TSKV SETTINGS apply_deleted_mask = 0"))
		all.WriteString("\n")
	}
	all.WriteString(d.ask("SELECT * FROM db.dead_letters ORDER BY ALL FORMAT TSKV SETTINGS apply_deleted_mask = 0"))
	return all.String()
}

// gone: a word that only erased rows held is nowhere.
func (d *db) gone(words ...string) {
	d.Helper()
	data := d.data()
	for _, word := range words {
		for line := range strings.Lines(data) {
			if strings.Contains(line, word) {
				d.Errorf("%s is still there: %s", word, line)
			}
		}
	}
}

// again: a second run finds nothing to do.
func (d *db) again(leads ...string) {
	d.Helper()
	before := d.data()
	mutations := d.ask("SELECT count() FROM system.mutations WHERE database = '" + d.name + "'")
	if report := d.erase(leads...); report.Blanked != 0 {
		d.Errorf("a second run blanked %d rows", report.Blanked)
	}
	if d.data() != before {
		d.Error("a second run changed something")
	}
	d.want("SELECT count() FROM system.mutations WHERE database = '"+d.name+"'", mutations)
}

// eventually polls a condition: what it waits for is another process's or goroutine's doing.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the test ended before: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
