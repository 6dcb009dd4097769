package schema

import "strings"

// Kind is what a catalog field's example shows it to be. It decides the column's type and what fits into it.
type Kind string

// The kinds, as they stand in schema_changes.
const (
	Text   Kind = "text"   // a string
	Time   Kind = "time"   // a string that is an RFC 3339 time; truncated to milliseconds
	Number Kind = "number" // exact: at most 29 digits before the point and 9 behind it, never rounded
	Bool   Kind = "bool"
	Object Kind = "object" // key to text; a value that is no string as its JSON text
	Array  Kind = "array"  // items likewise
	Mixed  Kind = "mixed"  // examples disagree: strings as they are, anything else as its JSON text
)

// ClickHouseType is the column type of a kind.
func (k Kind) ClickHouseType() string {
	switch k {
	case Time:
		return "Nullable(DateTime64(3, 'UTC'))"
	case Number:
		return "Nullable(Decimal(38, 9))" // not by the example's digits: an example 500 must not make 500.25 an error
	case Bool:
		return "Nullable(Bool)"
	case Object:
		return "Map(LowCardinality(String), String)"
	case Array:
		return "Array(String)"
	case Text, Mixed:
		return "Nullable(String)"
	}
	return ""
}

// accepts reports whether a column of this ClickHouse type can hold the kind. Besides its own type, text may have been
// made LowCardinality by an operator; nothing else is as exact.
func (k Kind) accepts(clickhouseType string) bool {
	if (k == Text || k == Mixed) && clickhouseType == "LowCardinality(Nullable(String))" {
		return true
	}
	return k.ClickHouseType() != "" && clickhouseType == k.ClickHouseType()
}

// Column is one typed column and the field of data behind it.
type Column struct {
	Name string   // "changes_status"
	Kind Kind     // what fits
	Path []string // keys from data down: ["changes", "status"]
	// EventType limits the column to one event type: `from` means a stage in opportunity.stage_changed and would mean
	// something else in opportunity.owner_changed. "" is every type of the table.
	EventType string
	Comment   string // for the reader of the table
}

// field is the catalog field's name as _invalid_fields has it: "changes.status".
func (c Column) field() string { return strings.Join(c.Path, ".") }

// source identifies the field among those of a table.
func (c Column) source() string { return c.EventType + "\x00" + strings.Join(c.Path, "\x00") }
