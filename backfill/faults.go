package backfill

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
)

// retry goes on after ClickHouse's faults, until limit has passed without a row written.
type retry struct {
	backOff *backoff.ExponentialBackOff
	limit   time.Duration
	last    time.Time // of the last progress
}

func newRetry(b *backoff.ExponentialBackOff, limit time.Duration) *retry {
	return &retry{backOff: b, limit: limit, last: time.Now()}
}

func (r *retry) reset() {
	r.last = time.Now()
	r.backOff.Reset()
}

// after waits, or returns the error when waiting is no use or has been tried long enough.
func (r *retry) after(ctx context.Context, err error, log zerolog.Logger) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := r.backOff.NextBackOff()
	if !passing(err) || time.Since(r.last)+wait > r.limit {
		return err
	}
	log.Warn().Err(err).Dur("wait", wait).Msg("the sweep is begun again")
	return pause(ctx, wait)
}

// passing tells faults that may pass from those that will not. A sweep that is begun again asks for the schema anew, so
// what an operator altered meanwhile passes as well.
func passing(err error) bool {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		switch exception.Code {
		case 3, // UNEXPECTED_END_OF_FILE: the connection was cut in the middle of a block
			16, 47, // NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER: dropped since the schema was read
			60,       // UNKNOWN_TABLE: likewise
			74,       // CANNOT_READ_FROM_FILE_DESCRIPTOR
			159, 160, // TIMEOUT_EXCEEDED, TOO_SLOW
			202,      // TOO_MANY_SIMULTANEOUS_QUERIES
			209, 210, // SOCKET_TIMEOUT, NETWORK_ERROR: between servers
			241,      // MEMORY_LIMIT_EXCEEDED: by others, perhaps
			242,      // TABLE_IS_READ_ONLY: a replica has lost its keeper
			252,      // TOO_MANY_PARTS: merges catch up (ours have no partitions, the code's other meaning)
			285, 319, // TOO_FEW_LIVE_REPLICAS, UNKNOWN_STATUS_OF_INSERT
			394,      // QUERY_WAS_CANCELLED: somebody's KILL QUERY, or a shutdown
			425, 999, // SYSTEM_ERROR, KEEPER_EXCEPTION
			236, 1002: // ABORTED, UNKNOWN_EXCEPTION: a shutdown
			return true
		}
		return false
	}
	var network net.Error
	return errors.Is(err, errNotThere) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, clickhouse.ErrAcquireConnTimeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || // of ours: the caller's was asked first
		errors.As(err, &network)
}
