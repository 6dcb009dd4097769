package sink

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// token makes a block's insert_deduplication_token: a hash over the table, the revision its rows are typed with, and of
// every row the topic, its epoch, partition, offset, record time, event ID and whether it is blanked; and a salt of the
// process.
//
// ClickHouse drops a block that comes under a used token, whatever is in it and without an error. So it is never over
// offsets alone, which start again when a topic is recreated; nor over record time and ID with them, since a copied topic
// keeps both, and its ledger entries are other rows: the epoch is in it. The revision is in it so that rows typed anew are another
// block. And the salt, because ClickHouse remembers tokens longer than rows: without it, rows that were deleted and then
// read again from Kafka by a sink whose batches happened to be cut alike did not come back (seen after DELETE and after
// ALTER … DELETE). Nothing is lost by it: a token is for the retries of one process.
type token struct {
	sum hash.Hash
	buf []byte // bytes on their way into sum, which takes a few KiB at a time with less ado than a row's 50
}

func (t *token) begin(salt, topic, table string, revision uint32) {
	if t.sum == nil {
		t.sum = sha256.New()
	}
	t.sum.Reset()
	t.buf = t.buf[:0]
	t.text(salt)
	t.text(topic)
	t.text(table)
	t.number(int64(revision))
}

func (t *token) row(epoch uint32, partition int32, r *record, eventID string) {
	t.number(int64(epoch)<<32 | int64(partition))
	t.number(r.offset)
	t.number(r.received)
	t.text(eventID)
	t.buf = append(t.buf, blank(r))
	if len(t.buf) > 4<<10 {
		t.drain()
	}
}

// blank: a row that has been blanked since its block was sent is another row, and must not be dropped as the same.
func blank(r *record) byte {
	if r.erased {
		return 1
	}
	return 0
}

// text writes its length too, so that no two sequences of fields look the same.
func (t *token) text(s string) {
	t.number(int64(len(s)))
	t.buf = append(t.buf, s...)
}

func (t *token) number(n int64) { t.buf = binary.LittleEndian.AppendUint64(t.buf, uint64(n)) }

func (t *token) drain() {
	_, _ = t.sum.Write(t.buf) // a hash's Write never fails
	t.buf = t.buf[:0]
}

// String is the token of the rows so far.
func (t *token) String() string {
	t.drain()
	return hex.EncodeToString(t.sum.Sum(nil))
}
