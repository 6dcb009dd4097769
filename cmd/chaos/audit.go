package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// columns are the typed columns of each table and the fields of data behind them, written down here a second time: schema's
// own inference is what is being checked. A field that ends in {} is a map.
var columns = map[string][][2]string{
	"lead_events":        {{"lead_id", "leadId"}, {"email", "email"}, {"source", "source"}, {"campaign", "campaign"}, {"changes", "changes{}"}, {"changes_status", "changes.status"}},
	"opportunity_events": {{"opportunity_id", "opportunityId"}, {"value", "value"}, {"stage", "stage"}, {"from_stage", "from"}, {"to_stage", "to"}, {"reason", "reason"}},
	"partner_events":     {{"partner_id", "partnerId"}, {"company", "company"}},
	"commission_events":  {{"commission_id", "commissionId"}, {"amount", "amount"}, {"partner_id", "partnerId"}},
	"task_events":        {{"task_id", "taskId"}, {"title", "title"}, {"assignee_id", "assigneeId"}},
	"form_events":        {{"form_id", "formId"}, {"lead_id", "leadId"}, {"fields", "fields{}"}, {"fields_name", "fields.name"}, {"fields_email", "fields.email"}},
	"document_events":    {{"document_id", "documentId"}, {"lead_id", "leadId"}, {"title", "title"}, {"pages", "pages"}, {"signed_at", "signedAt"}},
}

// otherEvents holds nothing in the end: the grown catalog knows every type that is sent.
const otherEvents = "other_events"

// none stands for NULL, which no text that is sent is.
const none = "\x00NULL"

// findings are what an audit has found.
type findings struct {
	rows, letters, fetched, collapsed int
	lost                              []string // IDs with a receipt and no row; bodies with a receipt and no dead letter
	doubled                           []string // IDs with more than one row under FINAL
	wrong                             []string // rows that are not what was sent, or in another table
	forged                            []string // forged deliveries that are somewhere, or have a 2xx
	strange                           []string // rows and dead letters of nobody's deliveries
	imbalance                         []string // the ledger against Kafka and the tables
}

func (f *findings) err() error {
	var errs []error
	for _, of := range []struct {
		what string
		list []string
	}{
		{"lost", f.lost},
		{"doubled", f.doubled},
		{"not as they were sent", f.wrong},
		{"forged", f.forged},
		{"of nobody's deliveries", f.strange},
		{"the books do not balance", f.imbalance},
	} {
		if len(of.list) > 0 {
			errs = append(errs, fmt.Errorf("%s %s: %s", thousands(len(of.list)), of.what, strings.Join(some(of.list), "\n  ")))
		}
	}
	return errors.Join(errs...)
}

// some are the first few, for a report.
func some(list []string) []string {
	const shown = 10
	slices.Sort(list)
	if more := len(list) - shown; more > 0 {
		return append(slices.Clone(list[:shown]), fmt.Sprintf("and %s more", thousands(more)))
	}
	return list
}

// found is a row, by event ID.
type found struct {
	digest uint64
	table  string
	n      int
}

// audit compares everything in the warehouse with everything that was sent and what the journal says of it.
func (s *stack) audit(ctx context.Context, j *local.Journal) (*findings, error) {
	f := &findings{}
	rows := map[string]found{}
	for table := range columns {
		if err := s.readTable(ctx, table, rows); err != nil {
			return nil, err
		}
	}
	if err := s.readTable(ctx, otherEvents, rows); err != nil {
		return nil, err
	}
	f.rows = len(rows)
	if err := s.compareEvents(ctx, f, j, rows); err != nil {
		return nil, err
	}
	if err := s.compareLetters(ctx, f, j); err != nil {
		return nil, err
	}
	for status, n := range j.Forged() {
		if status >= 200 && status < 300 {
			f.forged = append(f.forged, fmt.Sprintf("%d were answered %d", n, status))
		}
	}
	return f, s.compareLedger(ctx, f)
}

// readTable reads a table under FINAL: each row's digest, over its envelope, payload, and typed values as text.
func (s *stack) readTable(ctx context.Context, table string, rows map[string]found) error {
	query := "SELECT event_id, [event_type, toString(occurred_at), payload, arrayStringConcat(_invalid_fields, ',')"
	for _, c := range columns[table] {
		value := "ifNull(toString(" + c[0] + "), '\\0NULL')"
		if strings.HasSuffix(c[1], "{}") {
			value = "arrayStringConcat(arraySort(arrayMap((k, v) -> concat(k, '=', v), mapKeys(" + c[0] + "), mapValues(" + c[0] + "))), '\\n')"
		}
		query += ", " + value
	}
	result, err := s.conn.Query(ctx, query+"] FROM "+database+"."+table+" FINAL")
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	defer result.Close()
	for result.Next() {
		var id string
		var values []string
		if err := result.Scan(&id, &values); err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		was := rows[id]
		rows[id] = found{digest: digest(values), table: table, n: was.n + 1}
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	return nil
}

func digest(values []string) uint64 {
	h := xxhash.New()
	for _, v := range values {
		_, _ = h.WriteString(v) // never fails
		_, _ = h.Write([]byte{1})
	}
	return h.Sum64()
}

// expected is what a delivery's row is to be.
func expected(d local.Delivery) (table string, values []string, err error) {
	var e struct {
		Type, CreatedAt string
		Data            map[string]json.RawMessage
	}
	if err := json.Unmarshal(d.Body, &e); err != nil {
		return "", nil, fmt.Errorf("a delivery of our own: %w", err)
	}
	entity, _, _ := strings.Cut(e.Type, ".")
	table = entity + "_events"
	values = []string{e.Type, clickhouseTime(e.CreatedAt), string(d.Body), ""}
	for _, c := range columns[table] {
		value, err := expectedValue(e.Data, c[1])
		if err != nil {
			return "", nil, fmt.Errorf("%s of %s: %w", c[1], d.ID, err)
		}
		if c[0] == "signed_at" {
			value = clickhouseTime(value)
		}
		values = append(values, value)
	}
	return table, values, nil
}

func expectedValue(data map[string]json.RawMessage, field string) (string, error) {
	if name, isMap := strings.CutSuffix(field, "{}"); isMap {
		var pairs []string
		members := map[string]json.RawMessage{}
		if raw := data[name]; raw != nil {
			if err := json.Unmarshal(raw, &members); err != nil {
				return "", err
			}
		}
		for k, raw := range members {
			v, err := text(raw)
			if err != nil {
				return "", err
			}
			pairs = append(pairs, k+"="+v)
		}
		slices.Sort(pairs)
		return strings.Join(pairs, "\n"), nil
	}
	outer, inner, nested := strings.Cut(field, ".")
	raw := data[outer]
	if nested && raw != nil {
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &members); err != nil {
			return "", err
		}
		raw = members[inner]
	}
	if raw == nil {
		return none, nil
	}
	return text(raw)
}

// text is a JSON string's text, and anything else as it is written.
func text(raw json.RawMessage) (s string, err error) {
	if !bytes.HasPrefix(raw, []byte(`"`)) {
		return string(raw), nil
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// clickhouseTime is how ClickHouse prints an ISO 8601 time in UTC with milliseconds.
func clickhouseTime(iso string) string {
	return strings.TrimSuffix(strings.Replace(iso, "T", " ", 1), "Z")
}

// compareEvents is about event IDs: one row for each that has a receipt, as it was sent, and none but those.
func (s *stack) compareEvents(ctx context.Context, f *findings, j *local.Journal, rows map[string]found) error {
	accepted := map[string]bool{}
	for _, r := range j.Receipts() {
		accepted[r.ID] = true
	}
	for d := range s.each() {
		if d.ID == "" {
			continue
		}
		row, there := rows[d.ID]
		delete(rows, d.ID)
		if !there {
			if accepted[d.ID] { // the others were given up when the run was broken off
				f.lost = append(f.lost, d.ID+" "+d.Type)
			}
			continue
		}
		table, values, err := expected(d)
		if err != nil {
			return err
		}
		if row.n > 1 {
			f.doubled = append(f.doubled, fmt.Sprintf("%s %s: %d rows", d.ID, d.Type, row.n))
		}
		if row.table != table || row.digest != digest(values) {
			f.wrong = append(f.wrong, s.difference(ctx, d, row, table, values))
		}
	}
	for id, row := range rows {
		if strings.HasPrefix(id, local.ForgedIDPrefix) {
			f.forged = append(f.forged, id+" in "+row.table)
		} else {
			f.strange = append(f.strange, id+" in "+row.table)
		}
	}
	return nil
}

// difference says in words what is wrong with a row. Only for a report: it asks ClickHouse once more.
func (s *stack) difference(ctx context.Context, d local.Delivery, row found, table string, values []string) string {
	if row.table != table {
		return fmt.Sprintf("%s is in %s, not in %s", d.ID, row.table, table)
	}
	shown, err := s.clickhouse.Query(ctx, "SELECT * FROM "+database+"."+table+" FINAL WHERE event_id = '"+d.ID+"' FORMAT JSONEachRow")
	return fmt.Sprintf("%s: %s, want %q %v", d.ID, shown, values, err)
}

// compareLetters is about bodies: each malformed one with a receipt is a dead letter, once for each record in Kafka.
func (s *stack) compareLetters(ctx context.Context, f *findings, j *local.Journal) error {
	letters := map[string]int{}
	result, err := s.conn.Query(ctx, "SELECT payload FROM "+database+".dead_letters FINAL")
	if err != nil {
		return fmt.Errorf("read dead_letters: %w", err)
	}
	defer result.Close()
	for result.Next() {
		var body string
		if err := result.Scan(&body); err != nil {
			return fmt.Errorf("read dead_letters: %w", err)
		}
		letters[body]++
		f.letters++
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("read dead_letters: %w", err)
	}
	unsettled := 0 // without a receipt: which ones, the journal cannot say
	for _, a := range j.Abandoned() {
		if a.ID == "" {
			unsettled++
		}
	}
	var missing []string
	for _, d := range s.malformed() {
		if letters[string(d.Body)] == 0 {
			missing = append(missing, fmt.Sprintf("%.60q", d.Body))
		}
		delete(letters, string(d.Body))
	}
	if len(missing) > unsettled {
		f.lost = append(f.lost, missing...)
	}
	for body := range letters {
		if strings.Contains(body, local.ForgedIDPrefix) {
			f.forged = append(f.forged, fmt.Sprintf("%.60q in dead_letters", body))
		} else {
			f.strange = append(f.strange, fmt.Sprintf("%.60q in dead_letters", body))
		}
	}
	return nil
}

// compareLedger is about Kafka: deliveries has each of its records once, and agrees with the tables.
func (s *stack) compareLedger(ctx context.Context, f *findings) error {
	log, err := s.log(ctx)
	if err != nil {
		return err
	}
	var parts []struct {
		Partition int32  `ch:"kafka_partition"`
		Entries   uint64 `ch:"entries"`
		First     int64  `ch:"first_offset"`
		Last      int64  `ch:"last_offset"`
	}
	err = s.conn.Select(ctx, &parts, `SELECT kafka_partition, count() AS entries, min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset
		FROM `+database+`.deliveries FINAL GROUP BY kafka_partition`)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	wrong := func(is bool, format string, args ...any) {
		if is {
			f.imbalance = append(f.imbalance, fmt.Sprintf(format, args...))
		}
	}
	seen := map[int]bool{}
	for _, p := range parts {
		n := int(p.Partition)
		seen[n] = true
		first, end := log.first[n], log.end[n]
		wrong(int64(p.Entries) != end-first || p.First != first || p.Last != end-1,
			"partition %d: Kafka has offsets %d to %d, deliveries has %d entries from %d to %d", n, first, end-1, p.Entries, p.First, p.Last)
		f.fetched += int(p.Entries)
	}
	for p, end := range log.end {
		wrong(!seen[p] && end > log.first[p], "partition %d: deliveries has nothing of it", p)
		wrong(seen[p] && log.committed[p] != end, "partition %d: committed %d of %d", p, log.committed[p], end)
	}
	var inserted, events, dead uint64
	err = s.conn.QueryRow(ctx, `SELECT countIf(outcome = 'inserted'), uniqExactIf(event_id_hash, outcome = 'inserted'), countIf(outcome = 'dead_lettered')
		FROM `+database+`.deliveries FINAL`).Scan(&inserted, &events, &dead)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	f.collapsed = int(inserted - events)
	wrong(int(events) != f.rows, "deliveries has %d different events, the tables have %d", events, f.rows)
	wrong(int(dead) != f.letters, "deliveries has %d dead letters, dead_letters has %d", dead, f.letters)
	return nil
}

// checkPrefix looks, in the middle of things, at what the group has committed: each record below has its entry in the
// ledger, and each entry its row or its dead letter. What is missing fails the run; the error is about asking.
func (s *stack) checkPrefix(ctx context.Context) error {
	log, err := s.log(ctx) // first: what is inserted meanwhile only adds
	if err != nil {
		return err
	}
	bounds, want := make([]string, partitions), 0
	for p := range bounds {
		to := max(log.committed[p], log.first[p]) // -1: nothing yet
		bounds[p] = fmt.Sprint(to)
		want += int(to - log.first[p])
	}
	var entries, rowless, letterless uint64
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`SELECT count(),
			countIf(outcome = 'inserted' AND event_id_hash NOT IN (SELECT toFixedString(left(SHA256(event_id), 16), 16) FROM %[1]s.events)),
			countIf(outcome = 'dead_lettered' AND (kafka_partition, kafka_offset) NOT IN (SELECT kafka_partition, kafka_offset FROM %[1]s.dead_letters))
		FROM %[1]s.deliveries FINAL WHERE kafka_offset < [%[2]s][kafka_partition + 1]`, database, strings.Join(bounds, ", "))).Scan(&entries, &rowless, &letterless)
	if err != nil {
		return fmt.Errorf("look at what is committed: %w", err)
	}
	if int(entries) != want || rowless > 0 || letterless > 0 {
		s.fallen.add(fmt.Errorf("before the table was dropped, of %d records committed %d had an entry, and of those %d no row and %d no dead letter", want, entries, rowless, letterless))
	}
	return nil
}
