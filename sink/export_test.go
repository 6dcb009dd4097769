package sink

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

// What the external tests look at from inside.

// Classify is classify.
func Classify(err error) string { return string(classify(err)) }

// Describe is describe.
func Describe(err error) string { return describe(err) }

// Verdicts are the codes that classify knows.
func Verdicts() map[int32]string {
	known := map[int32]string{}
	for code, v := range verdicts {
		known[code] = string(v)
	}
	return known
}

// Leash is leash.
func Leash(ctx context.Context, d *kafka.Dialer, limit time.Duration) *kafka.Dialer {
	return leash(ctx, d, limit)
}
