package schema_test

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

func TestMain(m *testing.M) {
	local.Init()
	goleak.VerifyTestMain(local.Tests(m))
}

// db is one test's database on the shared ClickHouse.
type db struct {
	testing.TB
	conn driver.Conn
	name string
}

func open(t *testing.T) db {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return db{t, conn, ch.Database(t)}
}

func (d db) exec(sql string) {
	d.Helper()
	if err := d.conn.Exec(d.Context(), sql); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// one reads one value.
func one[T any](d db, sql string) T {
	d.Helper()
	var v T
	if err := d.conn.QueryRow(d.Context(), sql).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}

// plan diffs a catalog against the database.
func (d db) plan(c *schema.Catalog) *schema.Plan {
	d.Helper()
	state, err := schema.Inspect(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	p, err := schema.Diff(schema.Infer(c), state)
	if err != nil {
		d.Fatal(err)
	}
	return p
}

// evolve applies a catalog and returns the warehouse after it.
func (d db) evolve(c *schema.Catalog) *schema.Warehouse {
	d.Helper()
	if _, err := schema.Apply(d.Context(), d.conn, d.plan(c), "test", nil); err != nil {
		d.Fatal(err)
	}
	return d.load()
}

func (d db) load() *schema.Warehouse {
	d.Helper()
	w, err := schema.Load(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	return w
}

// insert types one delivery and writes it.
func (d db) insert(w *schema.Warehouse, body string, rec schema.Record) {
	d.Helper()
	if err := insertOne(d.Context(), d.conn, w, body, rec); err != nil {
		d.Fatal(err)
	}
}

func insertOne(ctx context.Context, conn driver.Conn, w *schema.Warehouse, body string, rec schema.Record) error {
	var decoder schema.Decoder
	e, err := decoder.Decode([]byte(body))
	if err != nil {
		return err
	}
	b := schema.NewEventBlock(w, w.TableFor(e.Type))
	b.Append(e, []byte(body), rec)
	return b.Insert(ctx, conn, "")
}

// at is a record at an offset, received a second after the offset before it.
func at(offset int64) schema.Record {
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(offset) * time.Second)
	return schema.Record{Partition: 3, Offset: offset, ReceivedAt: received, LoadedAt: received.Add(time.Minute)}
}

// catalog decodes one written as {"lead.created": `{"leadId":"x"}`, …} in order.
func catalog(t testing.TB, events ...string) *schema.Catalog {
	t.Helper()
	body := `{"success":true,"data":{"all":[`
	for i := 0; i < len(events); i += 2 {
		if i > 0 {
			body += ","
		}
		body += `{"event":"` + events[i] + `","description":"","examplePayload":` + events[i+1] + `}`
	}
	c, err := schema.DecodeCatalog([]byte(body + `]}}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func builtin(t testing.TB) *schema.Catalog {
	t.Helper()
	c, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// body is a delivery of a type with some data.
func body(id, eventType, data string) string {
	return `{"id":"` + id + `","type":"` + eventType + `","createdAt":"2026-05-27T23:34:12.345Z","data":` + data + `}`
}
