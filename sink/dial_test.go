package sink_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"

	"github.com/leadhouse/leadhouse/sink"
)

// silent accepts connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// Without the leash this dial never returns: kafka-go does the SASL exchange without a deadline.
func TestADialToASilentBrokerEnds(t *testing.T) {
	t.Parallel()
	dialer := &kafka.Dialer{Timeout: 100 * time.Millisecond, SASLMechanism: plain.Mechanism{Username: "u", Password: "p"}}
	for name, c := range map[string]struct {
		limit time.Duration
		end   time.Duration // when the context ends
	}{
		"by its limit":     {200 * time.Millisecond, time.Hour},
		"with its context": {time.Hour, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			timer := time.AfterFunc(c.end, cancel)
			defer timer.Stop()
			done := make(chan error, 1)
			leashed, address := sink.Leash(ctx, dialer, c.limit), silent(t)
			go func() {
				_, err := leashed.DialLeader(context.Background(), "tcp", address, "topic", 0)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Error("the dial succeeded")
				}
			case <-time.After(patience):
				t.Error("the dial does not end")
			}
		})
	}
}
