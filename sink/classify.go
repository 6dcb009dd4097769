package sink

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// verdict says what can be done about an error of an insert.
type verdict string

const (
	// retryable: time heals it, or the outcome is unknown. The same rows go again under the same token.
	retryable verdict = "retryable"
	// mistyped: the block does not fit the table as it is now. Read the schema again, type the rows again, retry.
	mistyped verdict = "schema"
	// poison: ClickHouse has looked at the rows and refuses some of them. Until the sink can find out which, the block is
	// kept and retried.
	poison verdict = "poison"
	// fatal: no row is to blame and no time heals it: somebody must change something. At the start it ends the sink with
	// the error; later the block is kept and retried, because ending would take the batch and the group's peace with it.
	fatal verdict = "fatal"
)

// tooManyPartitions is in the message of the one meaning of code 252 that is about the block.
const tooManyPartitions = "Too many partitions"

// verdicts are ClickHouse's error codes that are not retryable, which any other is: to wait without need costs minutes,
// to blame rows for a fault that is not theirs drains a topic into dead letters.
var verdicts = map[int32]verdict{
	// The table is not what the block was made for.
	10:  mistyped, // NOT_FOUND_COLUMN_IN_BLOCK: a column was added or dropped between the header and the block
	16:  mistyped, // NO_SUCH_COLUMN_IN_TABLE: dropped, or this replica has not yet heard of it
	20:  mistyped, // NUMBER_OF_COLUMNS_DOESNT_MATCH
	33:  mistyped, // CANNOT_READ_ALL_DATA: the server reads the columns as other types than they were sent as
	44:  mistyped, // ILLEGAL_COLUMN: became MATERIALIZED or ALIAS
	47:  mistyped, // UNKNOWN_IDENTIFIER: as 16, from the analyzer
	53:  mistyped, // TYPE_MISMATCH: altered
	60:  mistyped, // UNKNOWN_TABLE: dropped or renamed; never a reason to blame rows
	81:  mistyped, // UNKNOWN_DATABASE
	122: mistyped, // INCOMPATIBLE_COLUMNS
	131: mistyped, // TOO_LARGE_STRING_SIZE: as 33, where a length is read from what was no length
	218: mistyped, // TABLE_IS_DROPPED: it may be created anew under its name

	// The rows. The sink has checked what it could; these come from columns and constraints that a user added.
	6:   poison, // CANNOT_PARSE_TEXT
	26:  poison, // CANNOT_PARSE_QUOTED_STRING
	27:  poison, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:  poison, // CANNOT_PARSE_DATE
	41:  poison, // CANNOT_PARSE_DATETIME
	69:  poison, // ARGUMENT_OUT_OF_BOUND
	70:  poison, // CANNOT_CONVERT_TYPE: one value of the block does not convert
	72:  poison, // CANNOT_PARSE_NUMBER
	117: poison, // INCORRECT_DATA: what a JSON column says of legal JSON
	128: poison, // TOO_LARGE_ARRAY_SIZE
	190: poison, // SIZES_OF_ARRAYS_DONT_MATCH: Nested columns of a user's own
	321: poison, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: poison, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN: a user made a column of ours NOT NULL
	376: poison, // CANNOT_PARSE_UUID
	395: poison, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: a materialized view's own check
	407: poison, // DECIMAL_OVERFLOW
	469: poison, // VIOLATED_CONSTRAINT: CHECK
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
//     "Too many partitions for single INSERT block" is the block's, where a user has partitioned the table, and
//     splitting it, which is what poison will be, is the cure.
//   - An error of clickhouse-go's own over a column: the table's types are not what the block has.
//   - Everything else, time-outs, cut connections, no connection: retryable, with the outcome unknown.
func classify(err error) verdict {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		if exception.Code == 252 && strings.Contains(exception.Message, tooManyPartitions) {
			return poison
		}
		if v, known := verdicts[exception.Code]; known {
			return v
		}
		return retryable
	}
	var (
		converter   *column.ColumnConverterError
		columnError *column.Error
		unsupported *column.UnsupportedColumnTypeError
		blockError  *proto.BlockError
	)
	if errors.As(err, &converter) || errors.As(err, &columnError) || errors.As(err, &unsupported) || errors.As(err, &blockError) {
		return mistyped
	}
	return retryable
}

// worst is the error that decides what is done next, nil if all are: one that wants the schema read anew comes first,
// because that helps no one else and harms no one; then those that somebody must look at.
func worst(errs []error) error {
	rank := map[verdict]int{retryable: 1, fatal: 2, poison: 3, mistyped: 4}
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
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return fmt.Sprintf("%s: ClickHouse code %d", classify(err), exception.Code)
	}
	return string(classify(err))
}

// describe is an error for people. ClickHouse quotes values when it refuses a block for its content: then only the code.
func describe(err error) string {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && classify(err) == poison {
		return fmt.Sprintf("code %d; ClickHouse's log has the message", exception.Code)
	}
	return err.Error() + hint(err)
}
