package sink

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
)

// token makes a block's insert_deduplication_token: a hash over the table, the revision its rows are typed with, and of
// every row the topic, partition, offset, record time and event ID; and a salt of the process.
//
// ClickHouse drops a block that comes under a used token, whatever is in it and without an error. So it is never over
// offsets alone, which start again when a topic is recreated. The revision is in it so that rows typed anew are another
// block. And the salt, because ClickHouse remembers tokens longer than rows: without it, rows that were deleted and then
// read again from Kafka by a sink whose batches happened to be cut alike did not come back (seen after DELETE and after
// ALTER … DELETE). Nothing is lost by it: a token is for the retries of one process.
type token struct {
	sum hash.Hash
	w   *bufio.Writer // feeds sum 4 KiB at a time: a row is only some 50 bytes
	buf []byte
}

func (t *token) begin(salt, topic, table string, revision uint32) {
	if t.sum == nil {
		t.sum = sha256.New()
		t.w = bufio.NewWriter(t.sum)
	}
	t.sum.Reset()
	t.w.Reset(t.sum)
	t.text(salt)
	t.text(topic)
	t.text(table)
	t.number(int64(revision))
}

func (t *token) row(partition int32, r *record, eventID string) {
	t.number(int64(partition))
	t.number(r.offset)
	t.number(r.receivedAt.UnixMilli())
	t.text(eventID)
}

// text writes its length too, so that no two sequences of fields look the same.
func (t *token) text(s string) {
	t.number(int64(len(s)))
	_, _ = io.WriteString(t.w, s) // a hash's Write never fails
}

func (t *token) number(n int64) {
	t.buf = binary.LittleEndian.AppendUint64(t.buf[:0], uint64(n))
	_, _ = t.w.Write(t.buf)
}

// String is the token of the rows so far.
func (t *token) String() string {
	_ = t.w.Flush()
	return hex.EncodeToString(t.sum.Sum(nil))
}
