package deadletters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/leadhouse/leadhouse/sink"
)

// try makes one question or insert, again and again while time may heal what is wrong, for Config.RetryFor at most. Each
// attempt has Config.QueryTimeout. What sink's classification blames on rows, or on nothing that time heals, is returned
// at once.
func try[T any](ctx context.Context, t *Table, attempt func(context.Context) (T, error)) (T, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = t.cfg.RetryMin, t.cfg.RetryMax
	for began := time.Now(); ; {
		once, cancel := context.WithTimeout(ctx, t.cfg.QueryTimeout)
		v, err := attempt(once)
		cancel()
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil {
			return v, fmt.Errorf("%w (run it again and it goes on)", context.Cause(ctx))
		}
		verdict := sink.Judge(err)
		wait := pause.NextBackOff()
		if verdict == sink.Poison || verdict == sink.Oversize || verdict == sink.Fatal || time.Since(began)+wait > t.cfg.RetryFor {
			return v, err
		}
		t.cfg.Logger.Warn().Str("error", sink.Explain(err)).Dur("wait", wait).Msg("tried again")
		sink.Wait(ctx, wait) // where ctx has ended, the next attempt says so
	}
}

// write is do for the ledger and the statuses, where a refusal is the end of the run and not a letter's detail: **it is said
// without the values that ClickHouse quotes**, which are a payload's.
func (t *Table) write(ctx context.Context, attempt func(context.Context) error) error {
	err := t.do(ctx, attempt)
	if sink.Judge(err) == sink.Poison {
		return errors.New(sink.Explain(err))
	}
	return err
}

// do is try without an answer.
func (t *Table) do(ctx context.Context, attempt func(context.Context) error) error {
	_, err := try(ctx, t, func(ctx context.Context) (struct{}, error) { return struct{}{}, attempt(ctx) })
	return err
}
