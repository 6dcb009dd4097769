package sink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

// The names in classify.go's comments are the real ClickHouse's.
func TestTheCodesAreWhatTheirCommentsSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noTopic: true, noSchema: true})
	source, err := os.ReadFile("classify.go")
	if err != nil {
		t.Fatal(err)
	}
	for code, verdict := range sink.Verdicts() {
		var name string
		if err := w.conn.QueryRow(t.Context(), "SELECT toString(errorCodeToName(?))", code).Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(source)), " "), fmt.Sprintf("%d: %s, // %s", code, map[string]string{"schema": "mistyped", "poison": "poison", "fatal": "fatal"}[verdict], name)) {
			t.Errorf("code %d is %s: the comment beside it says otherwise", code, name)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	exception := func(code int32, message string) error {
		return fmt.Errorf("insert into lead_events: %w", &clickhouse.Exception{Code: code, Message: message})
	}
	for want, errs := range map[string][]error{
		"retryable": {
			io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, os.ErrDeadlineExceeded, clickhouse.ErrAcquireConnTimeout,
			errors.New("anything nobody has met yet"),
			exception(252, "Too many parts (3001) in all data parts in total. Merges are processing significantly slower than inserts"),
			exception(159, "Timeout exceeded"), exception(241, "Memory limit (total) exceeded"), exception(243, "Not enough space"),
			exception(242, "Table is in readonly mode"), exception(319, "Unknown status"), exception(202, "Too many simultaneous queries"),
			exception(49, "Logical error"), exception(1001, "std::exception"),
		},
		"schema": {
			exception(16, "No such column email in table"), exception(33, "Cannot read all data"), exception(60, "Table does not exist"),
			exception(131, "Too large string size"), exception(81, "Database does not exist"),
			&schema.ColumnError{Table: "t", Column: "c", Err: &column.ColumnConverterError{Op: "Append"}},
			&schema.ColumnError{Table: "t", Column: "c", Err: &clickhouse.OpError{Op: "batch.Column", Err: errors.New("invalid column index 3")}},
			fmt.Errorf("column email: %w", &proto.BlockError{Op: "Append", Err: errors.New("x")}),
		},
		"poison": {
			exception(117, "Incorrect data"), exception(469, "Constraint `c` is violated"), exception(349, "Cannot insert NULL"),
			// clickhouse-go, before anything is sent: a value, not a type.
			fmt.Errorf("x: %w", &schema.ColumnError{Table: "t", Column: "c", Err: &column.Error{ColumnType: "Enum8", Err: errors.New("unknown element")}}),
			&schema.ColumnError{Table: "t", Column: "c", Err: errors.New("value 1e30 overflows Decimal32 (Decimal(9, 2))")},
		},
		"oversize": {exception(252, "Too many partitions for single INSERT block (more than 100)")},
		"fatal": {
			exception(516, "Authentication failed"), exception(497, "Not enough privileges"), exception(164, "Cannot execute query in readonly mode"),
		},
	} {
		for _, err := range errs {
			if got := sink.Classify(err); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
	for _, err := range []error{
		exception(117, "Cannot parse 'jane@acme.com'"),
		&schema.ColumnError{Table: "t", Column: "c", Err: errors.New("unknown element 'jane@acme.com'")},
	} {
		if got := sink.Describe(err); strings.Contains(got, "jane") {
			t.Errorf("described as %q, with a row's content", got)
		}
	}
}

// A dead letter's detail has the code and the message, and is bounded: a constraint on payload makes ClickHouse quote it.
func TestADeadLettersDetailIsBounded(t *testing.T) {
	t.Parallel()
	long := sink.Verbatim(fmt.Errorf("insert: %w", &clickhouse.Exception{Code: 469, Message: "Constraint is violated: " + strings.Repeat("é", 100_000)}))
	if len(long) > 2100 || !strings.HasPrefix(long, "code 469: Constraint is violated: é") || !utf8.ValidString(long) {
		t.Errorf("%d bytes: %.60q", len(long), long)
	}
}
