package verify

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// Verifier compares the books with Kafka.
type Verifier struct {
	cfg    Config
	client *kafka.Client
	tables []string // the event tables, other_events first
	leadID []string // those of them that have the column lead_id
	stones int      // how many leads have been erased
	kept   string   // in SQL: an entry whose dead letter no TTL may have removed
	names  int      // how many events may still be named
}

// New makes one. It dials nothing.
func New(cfg Config) (*Verifier, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg}, nil
}

// Run acknowledges what it is told to, and looks at everything once. The error is about not having been able to look; what
// was found is in the report.
func (v *Verifier) Run(ctx context.Context) (*Report, error) {
	transport := &kafka.Transport{
		Dial: v.cfg.Dialer.DialFunc, DialTimeout: askTimeout, ClientID: v.cfg.Dialer.ClientID,
		TLS: v.cfg.Dialer.TLS, SASL: v.cfg.Dialer.SASLMechanism,
		MetadataTopics: []string{v.cfg.Topic}, MetadataTTL: 2 * time.Second,
	}
	defer transport.CloseIdleConnections()
	v.client = &kafka.Client{Addr: kafka.TCP(v.cfg.Brokers...), Timeout: askTimeout, Transport: transport}
	v.names = namedMost
	if err := v.readTables(ctx); err != nil {
		return nil, err
	}
	if len(v.cfg.Acknowledge) > 0 {
		if err := v.acknowledge(ctx); err != nil {
			return nil, err
		}
	}
	s, err := v.readScope(ctx, v.cfg.Since)
	if err != nil {
		return nil, err
	}
	r, err := v.verify(ctx, s)
	if err != nil {
		return nil, err
	}
	return v.report(s, r), v.sameEpoch(ctx, s)
}

// readTables lists the event tables that there are.
func (v *Verifier) readTables(ctx context.Context) error {
	w, err := schema.Load(ctx, v.cfg.ClickHouse, v.cfg.Database)
	if err != nil {
		return err
	}
	v.tables, v.stones = []string{schema.OtherEvents}, w.Erased.Len()
	for _, t := range w.Tables {
		if t.Name != schema.OtherEvents {
			v.tables = append(v.tables, t.Name)
		}
		if slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return c.Name == "lead_id" }) {
			v.leadID = append(v.leadID, t.Name)
		}
	}
	var engine string
	err = v.cfg.ClickHouse.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = ? AND name = 'dead_letters'", v.cfg.Database).Scan(&engine)
	if err != nil {
		return fmt.Errorf("read how long dead letters are kept: %w", err)
	}
	v.kept = "true"
	if ttl := lettersTTL.FindStringSubmatch(engine); ttl != nil {
		v.kept = fmt.Sprintf("(%s) > now()", ttl[1])
	}
	return nil
}

// lettersTTL is the TTL of dead_letters, if it counts from the receipt, as backfill sets it: the ledger has that time too.
var lettersTTL = regexp.MustCompile(`\bTTL ([^,]*\breceived_at\b[^,]*?)(?: DELETE)?(?: SETTINGS .*)?$`)

// sql fills in names.
func (v *Verifier) sql(text string) string {
	return strings.NewReplacer(
		"{db}", "`"+v.cfg.Database+"`", // which needs no quoting, but may be a word of SQL
		"{name}", v.cfg.Database,
		"{names}", "'"+strings.Join(v.tables, "', '")+"'",
		"{since}", millis(v.cfg.Since),
		"{kept}", v.kept,
	).Replace(text)
}

// millis is a time in SQL, the epoch for none.
func millis(t time.Time) string {
	since := int64(0)
	if !t.IsZero() {
		since = max(t.UnixMilli(), 0)
	}
	return fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", since)
}

func (v *Verifier) verify(ctx context.Context, s *scope) (*findings, error) {
	r := &findings{rowless: map[key][]int64{}, unknown: map[key][]int64{}}
	for _, look := range []func() error{
		func() error { return v.walk(ctx, r, s) },
		func() error { return v.events(ctx, r, s) },
		func() error { return v.count(ctx, s) },
		func() error { return v.erased(ctx, r, s) },
	} {
		if err := look(); err != nil {
			return nil, err
		}
	}
	for _, p := range s.parts {
		r.rows(p)
		if p.log == nil {
			continue
		}
		if err := v.sample(ctx, r, p); err != nil {
			return nil, err
		}
		if p.log.committed > p.log.end {
			r.add(Finding{
				Kind: CommittedPastEnd, Epoch: p.epoch, Partition: p.partition, First: p.log.end, Last: p.log.committed - 1, Records: p.log.committed - p.log.end,
				Detail: "the topic was recreated or has lost records: leadhouse sink --accept-new-topic goes on with what it has now",
			})
		}
	}
	r.gaps(s)
	return r, v.name(ctx, r, s)
}

// walk goes over the ledger, partition by partition.
func (v *Verifier) walk(ctx context.Context, r *findings, s *scope) error {
	var offsets int64
	for _, p := range s.parts {
		offsets += p.all.len()
	}
	v.cfg.Progress.Start("read the ledger", uint64(offsets))
	defer v.cfg.Progress.Done()
	for _, p := range s.parts {
		if err := v.offsets(ctx, r, p); err != nil {
			return err
		}
	}
	return nil
}

// gaps lists the gaps that were recorded, those that nobody has taken note of in any case.
func (r *findings) gaps(s *scope) {
	for _, g := range schema.OpenGaps(s.gaps) {
		r.add(gapFinding(OpenGap, g))
	}
	for _, g := range s.gaps {
		if g.Acknowledged {
			r.add(gapFinding(AcknowledgedGap, g))
		}
	}
}

func gapFinding(kind Kind, g schema.Gap) Finding {
	f := Finding{Kind: kind, Epoch: g.Epoch, Partition: g.Partition, First: g.First, Last: g.Next - 1, Records: g.Next - g.First, Detail: g.Detail}
	if kind == OpenGap {
		f.Detail += "; to accept it: leadhouse verify --acknowledge " + g.Range()
	}
	return f
}

// report puts it together.
func (v *Verifier) report(s *scope, r *findings) *Report {
	report := &Report{Topic: v.cfg.Topic, Group: v.cfg.Group, Epoch: s.epoch, Findings: r.sorted(), More: r.more, Partitions: []Account{}}
	if report.Findings == nil {
		report.Findings = []Finding{}
	}
	if !v.cfg.Since.IsZero() {
		since := v.cfg.Since.UTC()
		report.Since = &since
	}
	named := int64(0)
	for _, f := range report.Findings {
		named += int64(len(f.Events))
		if f.InKafka {
			report.Unnamed += f.Records
		}
	}
	report.Unnamed -= min(named, report.Unnamed)
	for _, p := range s.parts {
		a := Account{Epoch: p.epoch, Partition: p.partition, LogStart: -1, LogEnd: -1, Committed: -1, First: p.all.first, Next: p.all.next, Sheet: p.sheet}
		if p.log != nil {
			a.LogStart, a.LogEnd, a.Committed = p.log.start, p.log.end, p.log.committed
			a.InFlight = uint64(max(p.log.end-max(p.log.committed, p.log.start), 0))
		}
		report.Total.add(a.Sheet)
		report.Partitions = append(report.Partitions, a)
	}
	report.Balanced = report.Total.Missing == 0 && !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Fails })
	return report
}

// sameEpoch refuses a look during which the topic was accepted anew: its halves are about two topics.
func (v *Verifier) sameEpoch(ctx context.Context, s *scope) error {
	starts, err := schema.EpochStarts(ctx, v.cfg.ClickHouse, v.cfg.Database)
	if err != nil {
		return err
	}
	for _, start := range starts {
		if start.Epoch > s.epoch {
			return fmt.Errorf("epoch %d of the topic has begun meanwhile: run it again", start.Epoch)
		}
	}
	return nil
}
