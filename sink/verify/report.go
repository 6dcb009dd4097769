package verify

import "time"

// Report is what Run has found. Its JSON is what `leadhouse verify --format json` prints.
type Report struct {
	Balanced   bool       `json:"balanced"` // nothing is missing, and no gap is open
	Topic      string     `json:"topic"`
	Group      string     `json:"group"`
	Epoch      uint32     `json:"topic_epoch"`     // the topic's now
	Since      *time.Time `json:"since,omitempty"` // records from before are left out
	Total      Sheet      `json:"total"`
	Partitions []Account  `json:"partitions"` // by epoch and partition
	Findings   []Finding  `json:"findings"`   // in that order too, by kind
	More       int64      `json:"more_findings"`
	Unnamed    int64      `json:"events_not_named"` // missing records that Kafka has, beyond as many as are named
}

// Sheet is the balance: fetched = inserted + collapsed + dead_lettered + erased, and what the ledger lacks beside it.
type Sheet struct {
	Fetched          uint64 `json:"fetched"`           // entries of the ledger below the committed offset
	Inserted         uint64 `json:"inserted"`          // events, each counted where it was delivered first
	Collapsed        uint64 `json:"collapsed"`         // further deliveries of the same events
	DeadLettered     uint64 `json:"dead_lettered"`     // no events: in dead_letters
	Erased           uint64 `json:"erased"`            // about persons who had been erased
	InFlight         uint64 `json:"in_flight"`         // in Kafka, not yet committed
	LostOpen         uint64 `json:"lost_open"`         // lost for good, and nobody has taken note
	LostAcknowledged uint64 `json:"lost_acknowledged"` // the same, and somebody has
	Missing          uint64 `json:"missing"`           // the sum of the next three
	Unrecorded       uint64 `json:"unrecorded"`        // offsets without an entry in the ledger
	NoEventRow       uint64 `json:"no_event_row"`      // inserted or erased events without a row
	NoDeadLetter     uint64 `json:"no_dead_letter"`    // dead letters without a row
	Recordless       uint64 `json:"recordless"`        // offsets at which Kafka has no record: no loss
}

func (s *Sheet) add(o Sheet) {
	s.Fetched += o.Fetched
	s.Inserted += o.Inserted
	s.Collapsed += o.Collapsed
	s.DeadLettered += o.DeadLettered
	s.Erased += o.Erased
	s.InFlight += o.InFlight
	s.LostOpen += o.LostOpen
	s.LostAcknowledged += o.LostAcknowledged
	s.Missing += o.Missing
	s.Unrecorded += o.Unrecorded
	s.NoEventRow += o.NoEventRow
	s.NoDeadLetter += o.NoDeadLetter
	s.Recordless += o.Recordless
}

// Account is one partition in one epoch. The log and the committed offset are the current epoch's; -1 where there is none.
type Account struct {
	Epoch     uint32 `json:"topic_epoch"`
	Partition int32  `json:"kafka_partition"`
	LogStart  int64  `json:"log_start"`
	LogEnd    int64  `json:"log_end"`
	Committed int64  `json:"committed"`
	First     int64  `json:"first_offset"` // from here on it was looked at,
	Next      int64  `json:"next_offset"`  // up to but not including this
	Sheet
}

// Kind is what a finding is about. The set is in the package's documentation.
type Kind string

// The kinds, those that break the balance first.
const (
	Unrecorded           Kind = "unrecorded"
	NoEventRow           Kind = "no_event_row"
	NoDeadLetter         Kind = "no_dead_letter"
	Differs              Kind = "differs"
	CommittedPastEnd     Kind = "committed_past_end"
	OpenGap              Kind = "open_gap"
	AcknowledgedGap      Kind = "acknowledged_gap"
	SupersededDeadLetter Kind = "superseded_dead_letter"
	UnknownEventRow      Kind = "unknown_event_row"
	NotErased            Kind = "not_erased"
)

// kinds gives each its place in a report, and whether it breaks the balance.
var kinds = map[Kind]struct {
	place int
	fails bool
	words string
}{
	Unrecorded:           {1, true, "no entry in the ledger"},
	NoEventRow:           {2, true, "inserted, says the ledger, but no event table has it"},
	NoDeadLetter:         {3, true, "dead-lettered, says the ledger, but dead_letters lacks it"},
	Differs:              {4, true, "Kafka's record has other bytes than the ledger knows"},
	CommittedPastEnd:     {5, true, "committed, but the log does not have it"},
	OpenGap:              {6, true, "lost before sink could read it"},
	NotErased:            {7, true, "personal data of an erased lead is there"},
	AcknowledgedGap:      {8, false, "lost, and acknowledged"},
	SupersededDeadLetter: {9, false, "an open dead letter, but the ledger says inserted"},
	UnknownEventRow:      {10, false, "an event row that no entry of the ledger knows"},
}

// Finding is a run of offsets with one thing to say about it.
type Finding struct {
	Kind      Kind    `json:"kind"`
	Fails     bool    `json:"fails"` // it breaks the balance
	Epoch     uint32  `json:"topic_epoch"`
	Partition int32   `json:"kafka_partition"`
	First     int64   `json:"first_offset"`
	Last      int64   `json:"last_offset"`
	Records   int64   `json:"records"`  // how many between them it is about
	InKafka   bool    `json:"in_kafka"` // Kafka still has them: set the group's offset back, and they are read again
	Events    []Event `json:"events,omitempty"`
	Detail    string  `json:"detail,omitempty"`
}

// Event is a record that Kafka still has.
type Event struct {
	Offset int64  `json:"kafka_offset"`
	ID     string `json:"event_id"` // "" for a body that is no event
	Stored bool   `json:"stored"`   // an event table has this ID
}

const (
	findingsMost = 100_000 // runs that are listed; what is more is counted
	namedMost    = 10_000  // events that are named; what is more is counted
)
