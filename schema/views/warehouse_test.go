package views_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// warehouse is a database with the views, for one world.
type warehouse struct {
	testing.TB
	conn driver.Conn
	*schema.Warehouse
	offset int64
	filled time.Time // when its materialized views began to be; zero where there are none
}

func open(t *testing.T, s shape) *warehouse {
	t.Helper()
	return openViews(t, s, schema.Materialize{})
}

func openViews(t *testing.T, s shape, which schema.Materialize) *warehouse {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	wh := &warehouse{TB: t, conn: conn}
	database, c := ch.Database(t), s.catalog(t)
	state, err := schema.Inspect(t.Context(), conn, database)
	wh.must(err)
	plan, err := schema.DiffViews(schema.Infer(c), state, which)
	wh.must(err)
	_, err = schema.Apply(t.Context(), conn, plan, "test", nil)
	wh.must(err)
	wh.Warehouse, err = schema.Load(t.Context(), conn, database)
	wh.must(err)
	wh.pull(c)
	for _, table := range wh.Tables { // what is delivered twice stands there twice: FINAL has to see to it
		wh.must(conn.Exec(t.Context(), fmt.Sprintf("SYSTEM STOP MERGES `%s`.`%s`", database, table.Name)))
	}
	return wh
}

// pull records what the catalog said: once it named a type that it does not any more.
func (wh *warehouse) pull(c *schema.Catalog) {
	wh.Helper()
	was := &schema.Catalog{Events: append(slices.Clone(c.Events), schema.CatalogEvent{Group: "leads", Type: "lead.converted", Example: []byte("{}")})}
	wh.must(schema.RecordPull(wh.Context(), wh.conn, wh.Database, was, "test", time.Now().Add(-time.Hour)))
	wh.must(schema.RecordPull(wh.Context(), wh.conn, wh.Database, c, "test", time.Now()))
}

func (wh *warehouse) must(err error) {
	wh.Helper()
	if err != nil {
		wh.Fatal(err)
	}
}

// load writes deliveries as sink does, in order and in several inserts, no event ID twice in one.
func (wh *warehouse) load(deliveries []*delivery) {
	wh.Helper()
	var batches [][]*delivery
	var has []map[string]bool
	for i, d := range deliveries {
		b := i * 4 / len(deliveries)
		for b < len(batches) && has[b][d.id] {
			b++
		}
		for b >= len(batches) {
			batches, has = append(batches, nil), append(has, map[string]bool{})
		}
		batches[b], has[b][d.id] = append(batches[b], d), true
	}
	for _, batch := range batches {
		wh.insert(batch)
	}
}

func (wh *warehouse) insert(batch []*delivery) {
	wh.Helper()
	blocks, ledger := map[string]*schema.EventBlock{}, schema.NewDeliveryBlock(wh.Database)
	var decoder schema.Decoder
	for _, d := range batch {
		body := d.body()
		e, err := decoder.Decode(body)
		if err != nil {
			wh.Fatalf("%s: %v", body, err)
		}
		table := wh.TableFor(e.Type)
		if blocks[table.Name] == nil {
			blocks[table.Name] = schema.NewEventBlock(wh.Warehouse, table)
		}
		rec := schema.Record{Partition: 3, Offset: wh.offset, ReceivedAt: d.received, LoadedAt: d.loaded}
		blocks[table.Name].Append(e, body, rec)
		ledger.Append(d.id, body, rec, schema.Inserted)
		wh.offset++
	}
	for _, b := range blocks {
		wh.must(b.Insert(wh.Context(), wh.conn, ""))
	}
	wh.must(ledger.Insert(wh.Context(), wh.conn, ""))
}

// loadLetters writes what lies beside the events.
func (wh *warehouse) loadLetters(l letters) {
	wh.Helper()
	for i := range l.open + l.discarded {
		b := schema.NewDeadLetterBlock(wh.Database)
		rec := schema.Record{Partition: 9, Offset: int64(i), ReceivedAt: letterTime, LoadedAt: letterTime}
		b.Append(nil, []byte("{"), nil, schema.InvalidJSON, "cut", rec)
		wh.must(b.Insert(wh.Context(), wh.conn, ""))
		if i >= l.open { // it was open first
			b.Become(schema.Discarded, 0)
			wh.must(b.Insert(wh.Context(), wh.conn, ""))
		}
	}
	for _, g := range slices.Concat(l.gaps, l.noted) {
		wh.must(schema.RecordGap(wh.Context(), wh.conn, wh.Database, g))
	}
}

func (wh *warehouse) has(view string) bool {
	wh.Helper()
	var n uint64
	wh.must(wh.conn.QueryRow(wh.Context(), "SELECT count() FROM system.tables WHERE database = ? AND name = ?", wh.Database, view).Scan(&n))
	return n > 0
}

// rows are a view's, or those of a query in parentheses, each as one text, sorted.
func (wh *warehouse) rows(view, columns string, settings clickhouse.Settings) []string {
	wh.Helper()
	from := view
	if !strings.HasPrefix(view, "(") { // no query
		from = fmt.Sprintf("`%s`.%s", wh.Database, view)
	}
	ctx := clickhouse.Context(wh.Context(), clickhouse.WithSettings(settings))
	rows, err := wh.conn.Query(ctx, fmt.Sprintf("SELECT %s FROM %s", strings.ReplaceAll(columns, " ", ", "), from))
	if err != nil {
		wh.Errorf("%s: %v", view, err)
		return nil
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var cells []any
		for _, c := range rows.ColumnTypes() {
			cells = append(cells, reflect.New(c.ScanType()).Interface())
		}
		wh.must(rows.Scan(cells...))
		for i := range cells {
			cells[i] = reflect.ValueOf(cells[i]).Elem().Interface()
		}
		all = append(all, asText(cells))
	}
	if err := rows.Err(); err != nil {
		wh.Errorf("%s: %v", view, err)
	}
	slices.Sort(all)
	return all
}

func (r relation) texts() []string {
	var all []string
	for _, row := range r.rows {
		all = append(all, asText(row))
	}
	slices.Sort(all)
	return all
}

// asText writes a row so that two are equal just when their values are: floats by their bits, decimals by their value.
func asText(row []any) string {
	var b bytes.Buffer
	for _, v := range row {
		b.WriteString(cellText(v))
		b.WriteByte(' ')
	}
	return b.String()
}

func cellText(v any) string {
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		return "NULL"
	}
	if r.Kind() == reflect.Pointer {
		return cellText(r.Elem().Interface())
	}
	switch v := v.(type) {
	case decimal.Decimal:
		return v.String()
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000")
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64) + "f"
	case string, []string, map[string]string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v) // whole numbers and Bool
}
