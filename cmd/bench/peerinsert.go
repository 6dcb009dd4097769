package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/schema"
)

// insertPeer is what the sink is measured against: clickhouse-go inserting rows that are typed already. It makes them of
// the same events, since Journeys with the same fields are the same byte for byte; cuts them into blocks as the sink does;
// and measures nothing but the inserting.
type insertPeer struct {
	Addr, Database string
	Rows           int
}

// inserted is what it reports, as one line of JSON.
type inserted struct {
	Rows      int
	Took, CPU time.Duration
}

const (
	// batchRows is the sink's default: its blocks are the shares that the tables have of so many rows.
	batchRows = 50_000

	// fetchBytes is the most that the sink takes of one partition at a time: in a batch of a backlog stand runs of this
	// size, not events in the order of time.
	fetchBytes = 4 << 20

	// insertConnections are as many as the sink uses.
	insertConnections = 2
)

// block is one insert: an EventBlock or a DeliveryBlock.
type block interface {
	Table() string
	Rows() int
	Insert(ctx context.Context, conn driver.Conn, token string) error
}

func insertRows(p insertPeer) error {
	ctx := context.Background()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{p.Addr}, Auth: clickhouse.Auth{Username: "default"},
		// As `leadhouse sink` opens it: cmd/leadhouse/clickhouse.go.
		Compression:  &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		MaxOpenConns: insertConnections + 1, MaxIdleConns: insertConnections,
	})
	if err != nil {
		return fmt.Errorf("open ClickHouse: %w", err)
	}
	defer conn.Close()
	warehouse, err := schema.Load(ctx, conn, p.Database)
	if err != nil {
		return err
	}
	blocks, err := typeRows(warehouse, backlog(journeys(p.Rows)))
	if err != nil {
		return err
	}
	runtime.GC()
	debug.SetGCPercent(-1)
	began, before := time.Now(), ownCPU()
	if err := insertBlocks(ctx, conn, blocks); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(inserted{Rows: p.Rows, Took: time.Since(began), CPU: ownCPU() - before})
}

// insertBlocks keeps two connections busy, in the order of the blocks. A token for each: the sink's inserts have one too.
func insertBlocks(ctx context.Context, conn driver.Conn, blocks []block) error {
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(insertConnections)
	for i, b := range blocks {
		group.Go(func() error { return b.Insert(ctx, conn, run+"-"+strconv.Itoa(i)) })
	}
	return group.Wait()
}

// located is an event with its place in the topic.
type located struct {
	event
	partition int32
	offset    int64
}

// backlog is the order in which a sink meets the events of a topic that is full: a fetch of one partition, then a fetch of
// the next.
func backlog(events iter.Seq[event]) iter.Seq[located] {
	return func(yield func(located) bool) {
		var logs [partitions][]located
		for e := range events {
			p := partitionOf(e.key)
			logs[p] = append(logs[p], located{e, int32(p), int64(len(logs[p]))})
		}
		for left := true; left; {
			left = false
			for p := range logs {
				bytes := 0
				for len(logs[p]) > 0 && bytes < fetchBytes {
					l := logs[p][0]
					logs[p] = logs[p][1:]
					bytes += len(l.body) + recordOverhead
					left = true
					if !yield(l) {
						return
					}
				}
			}
		}
	}
}

// typeRows makes the blocks of every batch: one for each table that it has rows of, and deliveries last.
func typeRows(w *schema.Warehouse, events iter.Seq[located]) (blocks []block, err error) {
	var (
		decoder    schema.Decoder
		tables     map[*schema.Table]*schema.EventBlock
		deliveries *schema.DeliveryBlock
		rows       int
		now        = time.Now()
	)
	for l := range events {
		if rows%batchRows == 0 {
			if deliveries != nil {
				blocks = append(blocks, deliveries)
			}
			tables, deliveries = map[*schema.Table]*schema.EventBlock{}, schema.NewDeliveryBlock(w.Database)
		}
		rows++
		e, err := decoder.Decode(l.body)
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", l.id, err)
		}
		at := schema.Record{Partition: l.partition, Offset: l.offset, ReceivedAt: now, LoadedAt: now}
		t := w.TableFor(e.Type)
		if tables[t] == nil {
			tables[t] = schema.NewEventBlock(w, t)
			blocks = append(blocks, tables[t])
		}
		tables[t].Append(e, l.body, at)
		deliveries.Append(e.ID, l.body, at, schema.Inserted)
	}
	if deliveries != nil {
		blocks = append(blocks, deliveries)
	}
	return blocks, nil
}

// ownCPU is this process's CPU time so far.
func ownCPU() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0 // it cannot fail for oneself
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
