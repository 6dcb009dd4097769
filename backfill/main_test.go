package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/backfill"
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

// db is one test's warehouse on a real ClickHouse.
type db struct {
	testing.TB
	ch   *local.ClickHouse
	conn driver.Conn
	name string
}

func open(t *testing.T) db {
	t.Helper()
	return openOn(t, local.Shared(t))
}

func openOn(t *testing.T, ch *local.ClickHouse) db {
	t.Helper()
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return db{t, ch, conn, ch.Database(t)}
}

func (d db) exec(sql string) {
	d.Helper()
	if err := d.conn.Exec(d.Context(), d.in(sql)); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// in puts the test's database where a statement says db.
func (d db) in(sql string) string { return strings.ReplaceAll(sql, "db.", d.name+".") }

// one reads one value.
func one[T any](d db, sql string) T {
	d.Helper()
	v, err := ask[T](d.Context(), d, sql)
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}

func ask[T any](ctx context.Context, d db, sql string) (v T, err error) {
	err = d.conn.QueryRow(ctx, d.in(sql)).Scan(&v)
	return v, err
}

func (d db) want(sql, want string) {
	d.Helper()
	if got := one[string](d, "SELECT toString(("+sql+"))"); got != want {
		d.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// config is a run's, with a catalog written as "lead.created", `{"leadId":"x"}`, … Settling is for tests that are about it.
func (d db) config(events ...string) backfill.Config {
	d.Helper()
	return backfill.Config{
		ClickHouse: d.conn, Database: d.name, Catalog: d.catalogFile(events...), Version: "test", SettleFor: time.Nanosecond,
		RetryMin: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond, Logger: d.logger(),
	}
}

// catalogFile writes a response of the endpoint.
func (d db) catalogFile(events ...string) string {
	d.Helper()
	var items []string
	for i := 0; i < len(events); i += 2 {
		items = append(items, fmt.Sprintf(`{"event":%s,"description":"","examplePayload":%s}`, quoted(events[i]), events[i+1]))
	}
	path := filepath.Join(d.TempDir(), "catalog.json")
	body := `{"success":true,"data":{"all":[` + strings.Join(items, ",") + `]}}`
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		d.Fatal(err)
	}
	return path
}

func (d db) logger() zerolog.Logger { return zerolog.New(zerolog.NewTestWriter(d)) }

// run is one run with its output.
func (d db) run(cfg backfill.Config) (backfill.Result, string) {
	d.Helper()
	result, out, err := tryRun(d.Context(), cfg)
	if err != nil {
		d.Fatalf("%v\n%s", err, out)
	}
	return result, out
}

func tryRun(ctx context.Context, cfg backfill.Config) (backfill.Result, string, error) {
	var out strings.Builder
	cfg.Out = &out
	b, err := backfill.New(cfg)
	if err != nil {
		return backfill.Result{}, "", err
	}
	result, err := b.Run(ctx)
	return result, out.String(), err
}

func (d db) load() *schema.Warehouse {
	d.Helper()
	w, err := schema.Load(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	return w
}

// deliver writes deliveries as a sink does that has this view of the schema, offsets from first on.
func (d db) deliver(w *schema.Warehouse, first int64, bodies ...string) {
	d.Helper()
	if err := deliver(d.Context(), d.conn, w, first, bodies...); err != nil {
		d.Fatal(err)
	}
}

func deliver(ctx context.Context, conn driver.Conn, w *schema.Warehouse, first int64, bodies ...string) error {
	var decoder schema.Decoder
	blocks := map[*schema.Table]*schema.EventBlock{}
	for i, body := range bodies {
		e, err := decoder.Decode([]byte(body))
		if err != nil {
			return err
		}
		t := w.TableFor(e.Type)
		if blocks[t] == nil {
			blocks[t] = schema.NewEventBlock(w, t)
		}
		blocks[t].Append(e, []byte(body), at(first+int64(i)))
	}
	var errs []error
	for _, b := range blocks {
		errs = append(errs, b.Insert(ctx, conn, ""))
	}
	return errors.Join(errs...)
}

// at is a record at an offset, received a second after the offset before it.
func at(offset int64) schema.Record {
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(offset) * time.Second)
	return schema.Record{Partition: 3, Offset: offset, ReceivedAt: received, LoadedAt: received.Add(time.Minute)}
}

// event is a delivery.
func event(id, eventType, data string) string {
	return fmt.Sprintf(`{"id":%s,"type":%s,"createdAt":"2026-05-27T23:34:12.345Z","data":%s}`, quoted(id), quoted(eventType), data)
}

// events are n of them with IDs of their own.
func events(prefix string, n int, eventType, data string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = event(fmt.Sprintf("%s_%06d", prefix, i), eventType, data)
	}
	return list
}

func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

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
