package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A fault is one line of the schedule.
type fault struct {
	at     time.Duration // after the start of the traffic
	kind   string        // one of kinds
	target string
	length time.Duration // of the state that it causes, or of waiting for its moment; 0 for now
	size   int           // bytes a second, of a throttle
}

func (f fault) String() string {
	s := fmt.Sprintf("%9.3fs  %-20s %s", f.at.Seconds(), f.kind, f.target)
	if f.length > 0 {
		s += fmt.Sprintf("  for %d ms", f.length.Milliseconds())
	}
	if f.size > 0 {
		s += fmt.Sprintf("  at %d KiB/s", f.size>>10)
	}
	return s
}

// The targets.
const (
	toLeadron    = "leadron-ingest" // links are named for their ends
	toProduce    = "ingest-kafka"
	toConsume    = "sink-kafka"
	toClickHouse = "sink-clickhouse"

	kafkaServer      = "kafka"
	clickhouseServer = "clickhouse"
	warehouseSchema  = "schema"
)

var (
	links   = []string{toLeadron, toProduce, toConsume, toClickHouse}
	ingests = []string{"ingest-1", "ingest-2"}
	sinks   = []string{"sink-1", "sink-2", "sink-3"}
)

// A kind of fault: how often it is drawn, on what, and for how long.
type kind struct {
	name         string
	weight       int // of all weights together, about a thousand
	targets      []string
	least, most  time.Duration // of length
	apache, once bool          // needs the broker to be a process; comes once, at a fixed part of the run
}

// sessionTimeout is the sinks': Kafka's least. A sink that is frozen for longer wakes up as a zombie.
const sessionTimeout = 6 * time.Second

const ms = time.Millisecond

// kinds are all that is injected. What takes the pipeline seconds to get over is rare, so that it has time to work between.
var kinds = []kind{
	{name: "cut", weight: 130, targets: links},
	{name: "cut-one", weight: 120, targets: links},
	{name: "refuse", weight: 70, targets: links, least: 50 * ms, most: 1500 * ms},
	{name: "stall", weight: 90, targets: links, least: 50 * ms, most: 1000 * ms},
	{name: "delay", weight: 70, targets: links, least: 100 * ms, most: 800 * ms},
	{name: "throttle", weight: 60, targets: links, least: 100 * ms, most: 800 * ms},
	{name: "half-close-up", weight: 50, targets: links},
	{name: "half-close-down", weight: 50, targets: links},
	{name: "lose-answer", weight: 120, targets: []string{toLeadron, toProduce, toConsume}, least: 2000 * ms, most: 2000 * ms},
	{name: "cut-insert", weight: 50, targets: []string{toClickHouse}, least: 5000 * ms, most: 5000 * ms},
	{name: "lose-insert-answer", weight: 60, targets: []string{toClickHouse}, least: 5000 * ms, most: 5000 * ms},

	{name: "kill", weight: 40, targets: ingests, most: 500 * ms},
	{name: "freeze", weight: 16, targets: ingests, least: 100 * ms, most: 2000 * ms},
	{name: "kill", weight: 24, targets: sinks, most: 1000 * ms},
	{name: "leave-and-join", weight: 14, targets: sinks, most: 2000 * ms},
	{name: "freeze", weight: 10, targets: sinks, least: 200 * ms, most: 3000 * ms},
	{name: "freeze-past-session", weight: 8, targets: sinks, least: sessionTimeout + 1500*ms, most: sessionTimeout + 5000*ms},
	{name: "kill", weight: 20, targets: []string{clickhouseServer}, most: 1500 * ms},
	{name: "freeze", weight: 14, targets: []string{clickhouseServer}, least: 100 * ms, most: 3000 * ms},
	{name: "kill", weight: 10, targets: []string{kafkaServer}, most: 1000 * ms, apache: true},
	{name: "freeze", weight: 10, targets: []string{kafkaServer}, least: 100 * ms, most: 3000 * ms, apache: true},
	{name: "kill-backfill", weight: 8, targets: []string{warehouseSchema}, least: 30 * ms, most: 600 * ms},

	{name: "kill-together", weight: 14, most: 1000 * ms},

	{name: "grow-schema", targets: []string{warehouseSchema}, once: true},
	{name: "drop-table-restore", targets: []string{warehouseSchema}, once: true},
}

// together are the groups that are killed in one moment; the last ones only where the broker is a process.
var together = [][]string{
	{"ingest-1", "ingest-2"},
	{"sink-1", "sink-2", "sink-3"},
	{"ingest-1", "sink-1", clickhouseServer},
	{"sink-1", "sink-2", "sink-3", clickhouseServer},
	{kafkaServer, clickhouseServer},
	{"ingest-1", "sink-2", kafkaServer},
	{"ingest-1", "ingest-2", "sink-1", "sink-2", "sink-3", kafkaServer, clickhouseServer},
}

// When the two that come once come, as shares of the run: there are rows to fill and to lose, and traffic after.
const (
	growAt    = 0.30
	restoreAt = 0.60
)

// schedule draws n faults for a span of time. **It is a function of its arguments.** Every kind comes at least once, where
// there is room; those together count one for each of them.
func schedule(seed uint64, n int, span time.Duration, apache bool) []fault {
	rng := rand.New(rand.NewPCG(seed, 0x6368616f73)) //nolint:gosec // to be drawn again; any constant will do
	d := drawing{rng: rng, span: span, apache: apache}
	var usable []kind
	total := 0
	for _, k := range kinds {
		if k.apache && !apache || k.once {
			continue
		}
		usable = append(usable, k)
		total += k.weight
	}
	d.fixed("grow-schema", growAt)
	d.fixed("drop-table-restore", restoreAt)
	for _, k := range usable {
		d.draw(k, n)
	}
	for len(d.faults) < n {
		x := rng.IntN(total)
		for _, k := range usable {
			if x -= k.weight; x < 0 {
				d.draw(k, n)
				break
			}
		}
	}
	slices.SortStableFunc(d.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return d.faults
}

type drawing struct {
	rng    *rand.Rand
	span   time.Duration
	apache bool
	faults []fault
}

func (d *drawing) fixed(name string, share float64) {
	d.faults = append(d.faults, fault{at: time.Duration(share * float64(d.span)), kind: name, target: warehouseSchema})
}

func (d *drawing) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(d.rng.Int64N(int64(most-least)+1))).Truncate(ms)
}

// draw adds one of a kind, or several together, but no more than n in all.
func (d *drawing) draw(k kind, n int) {
	f := fault{
		at:     d.between(0, d.span),
		kind:   k.name,
		length: d.between(k.least, k.most),
	}
	if k.name == "throttle" {
		f.size = (8 + d.rng.IntN(120)) << 10
	}
	targets := k.targets
	if len(targets) > 0 {
		i := d.rng.IntN(len(targets))
		targets = targets[i : i+1]
	} else {
		groups := together
		if !d.apache {
			groups = slices.DeleteFunc(slices.Clone(groups), func(g []string) bool { return slices.Contains(g, kafkaServer) })
		}
		targets = groups[d.rng.IntN(len(groups))]
	}
	for _, t := range targets {
		if len(d.faults) < n {
			f.target = t
			d.faults = append(d.faults, f)
		}
	}
}

// className is what the report counts a fault under: kind and the sort of target.
func (f fault) className() string {
	return f.kind + " " + strings.TrimRight(f.target, "-123")
}
