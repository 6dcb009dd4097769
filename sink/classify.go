package sink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/leadhouse/leadhouse/schema"
)

// verdict says what can be done about an error of an insert.
type verdict string

const (
	// retryable: time heals it, or the outcome is unknown. The same rows go again under the same token.
	retryable verdict = "retryable"
	// mistyped: the block does not fit the table as it is now. Read the schema again, type the rows again, retry.
	mistyped verdict = "schema"
	// poison: ClickHouse has looked at the rows, or clickhouse-go at their values, and refuses some of them. The block is
	// halved until those are alone (bisect.go). A block that knows no guilt, the ledger's, is kept and sent again.
	poison verdict = "poison"
	// oversize: no row is to blame, they are too much for one block. It is halved, in the order of its rows.
	oversize verdict = "oversize"
	// tripped: the table refuses rows by the dozen, so most likely it is the table that is wrong (breaker.go).
	tripped verdict = "tripped"
	// fatal: no row is to blame and no time heals it: somebody must change something. At the start it ends the sink with
	// the error; later the block is kept and retried, because ending would take the batch and the group's peace with it.
	fatal verdict = "fatal"
)

// tooManyParts is a code with two meanings; tooManyPartitions is in the message of the one that is about the block.
const (
	tooManyParts      = 252
	tooManyPartitions = "Too many partitions"
)

// verdicts are ClickHouse's error codes that are not retryable, which any other is: to wait without need costs minutes,
// to blame rows for a fault that is not theirs makes dead letters of them, though the breaker bounds how many.
var verdicts = map[int32]verdict{
	// The table is not what the block was made for.
	7:   mistyped, // INCORRECT_NUMBER_OF_COLUMNS
	8:   mistyped, // THERE_IS_NO_COLUMN
	10:  mistyped, // NOT_FOUND_COLUMN_IN_BLOCK: a column was added or dropped between the header and the block
	16:  mistyped, // NO_SUCH_COLUMN_IN_TABLE: dropped, or this replica has not yet heard of it
	20:  mistyped, // NUMBER_OF_COLUMNS_DOESNT_MATCH
	33:  mistyped, // CANNOT_READ_ALL_DATA: the server reads the columns as other types than they were sent as
	44:  mistyped, // ILLEGAL_COLUMN: became MATERIALIZED or ALIAS
	47:  mistyped, // UNKNOWN_IDENTIFIER: as 16, from the analyzer
	50:  mistyped, // UNKNOWN_TYPE
	53:  mistyped, // TYPE_MISMATCH: altered
	60:  mistyped, // UNKNOWN_TABLE: dropped or renamed; never a reason to blame rows
	81:  mistyped, // UNKNOWN_DATABASE
	122: mistyped, // INCOMPATIBLE_COLUMNS
	131: mistyped, // TOO_LARGE_STRING_SIZE: as 33, where a length is read from what was no length
	218: mistyped, // TABLE_IS_DROPPED: it may be created anew under its name

	// The rows. The sink has checked what it could; these come from constraints, materialized columns and views, and types
	// that a user brought in.
	6:   poison, // CANNOT_PARSE_TEXT
	25:  poison, // CANNOT_PARSE_ESCAPE_SEQUENCE
	26:  poison, // CANNOT_PARSE_QUOTED_STRING
	27:  poison, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:  poison, // CANNOT_PARSE_DATE
	41:  poison, // CANNOT_PARSE_DATETIME
	36:  poison, // BAD_ARGUMENTS: what many functions say of a value they cannot take
	69:  poison, // ARGUMENT_OUT_OF_BOUND
	70:  poison, // CANNOT_CONVERT_TYPE: one value of the block does not convert
	72:  poison, // CANNOT_PARSE_NUMBER
	117: poison, // INCORRECT_DATA: what a JSON column says of legal JSON
	125: poison, // INCORRECT_RESULT_OF_SCALAR_SUBQUERY: of a constraint or a column, for this row
	128: poison, // TOO_LARGE_ARRAY_SIZE
	130: poison, // CANNOT_READ_ARRAY_FROM_TEXT
	153: poison, // ILLEGAL_DIVISION: by a field that is 0
	169: poison, // BAD_TYPE_OF_FIELD
	190: poison, // SIZES_OF_ARRAYS_DONT_MATCH: Nested columns of a user's own
	321: poison, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: poison, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN: a user made a column of ours NOT NULL
	376: poison, // CANNOT_PARSE_UUID
	395: poison, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: the check of a materialized column or view
	407: poison, // DECIMAL_OVERFLOW
	441: poison, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
	467: poison, // CANNOT_PARSE_BOOL
	469: poison, // VIOLATED_CONSTRAINT: CHECK
	563: poison, // CANNOT_READ_MAP_FROM_TEXT
	632: poison, // UNEXPECTED_DATA_AFTER_PARSED_VALUE
	645: poison, // NUMBER_OF_DIMENSIONS_MISMATCHED
	675: poison, // CANNOT_PARSE_IPV4
	676: poison, // CANNOT_PARSE_IPV6
	691: poison, // UNKNOWN_ELEMENT_OF_ENUM

	// The account, the settings, the statement: the same for every row.
	48:  fatal, // NOT_IMPLEMENTED: the table's engine cannot do this
	62:  fatal, // SYNTAX_ERROR: this version's SQL and the server do not agree
	115: fatal, // UNKNOWN_SETTING: the server is too old
	164: fatal, // READONLY: the user may not write
	192: fatal, // UNKNOWN_USER
	193: fatal, // WRONG_PASSWORD
	194: fatal, // REQUIRED_PASSWORD
	195: fatal, // IP_ADDRESS_NOT_ALLOWED
	291: fatal, // DATABASE_ACCESS_DENIED
	452: fatal, // SETTING_CONSTRAINT_VIOLATION: a profile forbids a setting the insert needs
	497: fatal, // ACCESS_DENIED: no grant
	516: fatal, // AUTHENTICATION_FAILED
}

// classify decides what can be done about an error of an insert or of a schema reload. It is the only place that does.
//
//   - A code of ClickHouse's: verdicts, and 252 by its message. "Too many parts" is back-pressure and passes;
//     "Too many partitions for single INSERT block" is the block's, where a user has partitioned the table.
//   - clickhouse-go does not take a column's values: for their type, which is the table's doing, or for one of them.
//   - Everything else, time-outs, cut connections, no connection: retryable, with the outcome unknown.
func classify(err error) verdict {
	if _, stopped := errors.AsType[*trippedError](err); stopped {
		return tripped
	}
	if errors.Is(err, errStale) {
		return mistyped
	}
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		if exception.Code == tooManyParts && !crowded(err) {
			return oversize
		}
		if v, known := verdicts[exception.Code]; known {
			return v
		}
		return retryable
	}
	return classifyClient(err)
}

// crowded says whether ClickHouse refuses a block because the table has too many parts: back-pressure.
func crowded(err error) bool {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	return ok && exception.Code == tooManyParts && !strings.Contains(exception.Message, tooManyPartitions)
}

// classifyClient is classify for what ClickHouse has not said.
func classifyClient(err error) verdict {
	var (
		converter   *column.ColumnConverterError
		unsupported *column.UnsupportedColumnTypeError
		count       *clickhouse.OpError // a column less than the statement names
		values      *schema.ColumnError
		columnError *column.Error
		blockError  *proto.BlockError
	)
	switch {
	case errors.As(err, &converter), errors.As(err, &unsupported):
		return mistyped
	case errors.As(err, &values):
		if errors.As(err, &count) {
			return mistyped
		}
		return poison // a number too large, an unknown element of an Enum: column.Error, or a bare fmt.Errorf
	case errors.As(err, &columnError), errors.As(err, &blockError):
		return mistyped
	}
	return retryable
}

// worst is the error that decides what is done next, nil if all are: one that wants the schema read anew comes first,
// because that helps no one else and harms no one; then those that somebody must look at.
func worst(errs []error) error {
	rank := map[verdict]int{retryable: 1, fatal: 2, oversize: 3, poison: 3, tripped: 4, mistyped: 5}
	var found error
	for _, err := range errs {
		if err != nil && (found == nil || rank[classify(err)] > rank[classify(found)]) {
			found = err
		}
	}
	return found
}

// cause names an error for logs and readiness, from a set small enough to tell a change of state by.
func cause(err error) string {
	if stopped, ok := errors.AsType[*trippedError](err); ok {
		return fmt.Sprintf("%s: table %s", tripped, stopped.table)
	}
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return fmt.Sprintf("%s: ClickHouse code %d", classify(err), exception.Code)
	}
	return string(classify(err))
}

// describe is an error for people. ClickHouse and clickhouse-go quote values when they refuse rows for their content: then
// it names the code or the column only. The dead letter has the message.
func describe(err error) string {
	if classify(err) != poison {
		return err.Error() + hint(err)
	}
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return fmt.Sprintf("code %d; ClickHouse's log has the message", exception.Code)
	}
	if values, ok := errors.AsType[*schema.ColumnError](err); ok {
		return fmt.Sprintf("a value does not go into column %s of %s", values.Column, values.Table)
	}
	return "a value is refused"
}

// detailMost bounds a dead letter's detail, in bytes: ClickHouse quotes the columns that a constraint is about, and payload
// may be one, which the dead letter has anyway.
const detailMost = 2000

// verbatim is an error for a dead letter: ClickHouse's code and message, or clickhouse-go's text.
func verbatim(err error) string {
	text := err.Error()
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		text = fmt.Sprintf("code %d: %s", exception.Code, exception.Message)
	}
	if len(text) > detailMost {
		text = strings.ToValidUTF8(text[:detailMost], "") + " …"
	}
	return text
}
