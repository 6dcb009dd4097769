package main_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// BenchmarkVerify verifies a ledger of 10 million positions, of which a thousand are missing, in a process of its own, and
// reports the peak of its memory, and of ClickHouse's largest query:
//
//	go test ./cmd/leadhouse -run xxx -bench Verify -benchtime 1x
//
// The positions are those of an epoch that is over: Kafka has none of them, as with a ledger that is older than retention.
func BenchmarkVerify(b *testing.B) {
	const positions = 10_000_000
	k, err := local.StartKfake(local.KfakeConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(k.Stop)
	if err := k.CreateTopic(topicName, 2, nil); err != nil {
		b.Fatal(err)
	}
	ch := local.Shared(b)
	database := ch.Database(b)
	settings := []string{"--kafka-brokers", k.Brokers()[0], "--clickhouse-addr", ch.Addr(), "--clickhouse-database", database}
	if out, err := exec.CommandContext(b.Context(), binary(b), "backfill", "--catalog", "builtin", "--settle-for", "1s", settings[2], settings[3], settings[4], settings[5]).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, sql := range []string{ // 5 % come again
		fmt.Sprintf(`INSERT INTO DATABASE.deliveries (topic_epoch, kafka_partition, kafka_offset, event_id_hash, body_hash, received_at, loaded_at, outcome)
			SELECT 0, number %% 2, intDiv(number, 2), left(SHA256('evt_' || toString(number - (number %% 20 = 19))), 16), number, now64(3), now64(3), 'inserted' FROM numbers(%d) WHERE number %% 10000 != 5000`, positions),
		fmt.Sprintf(`INSERT INTO DATABASE.other_events (event_id, event_type, occurred_at, _received_at)
			SELECT 'evt_' || toString(number), 'x', now64(3), now64(3) FROM numbers(%d)`, positions),
		`INSERT INTO DATABASE.topic_epochs VALUES (1, 0, 0, '', now64(3)), (1, 1, 0, '', now64(3))`,
	} {
		if _, err := ch.Query(b.Context(), strings.ReplaceAll(sql, "DATABASE", database)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		client, server, out := verifyPeaks(b, ch, settings)
		if !strings.Contains(out, "\n      total  ") || strings.Count(out, "no longer in Kafka") != 20 {
			b.Fatalf("unexpected: %s", tail(out, 2000))
		}
		b.ReportMetric(float64(client)/(1<<20), "MiB-client")
		b.ReportMetric(float64(server)/(1<<20), "MiB-server-query")
		if client > 256<<20 {
			b.Errorf("the client took %d MiB, want at most 256", client>>20)
		}
	}
}

// verifyPeaks runs it, and returns how much memory the process and the largest query took.
func verifyPeaks(b *testing.B, ch *local.ClickHouse, settings []string) (client, server int64, out string) {
	b.Helper()
	ctx, end := context.WithCancel(b.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			answer, err := ch.Query(ctx, "SELECT max(peak_memory_usage) FROM system.processes")
			var peak int64
			if _, scanErr := fmt.Sscan(answer, &peak); err == nil && scanErr == nil {
				server = max(server, peak)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	cmd := exec.CommandContext(ctx, binary(b), append([]string{"verify"}, settings...)...)
	answer, _ := cmd.CombinedOutput() // exit code 1: something is missing
	end()
	watching.Wait()
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10, server, string(answer)
}
