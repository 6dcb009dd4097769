package sink

import (
	"bytes"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// What is packed comes out again, whatever is packed after it into the same memory.
func TestKeysAndHeadersAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 300)
		messages := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) kafka.Message {
			m := kafka.Message{Key: text.Draw(t, "key"), Value: []byte("v")}
			for range rapid.IntRange(0, 4).Draw(t, "headers") {
				m.Headers = append(m.Headers, kafka.Header{Key: string(text.Draw(t, "name")), Value: text.Draw(t, "value")})
			}
			return m
		}), 1, 200).Draw(t, "messages")
		var (
			small   arena
			records []record
		)
		for i := range messages {
			records = append(records, newRecord(&messages[i], &small))
		}
		for i, m := range messages {
			key, headers := records[i].unpack()
			if !bytes.Equal(key, m.Key) || len(headers) != len(m.Headers) {
				t.Fatalf("record %d: key %q and %d headers, want %q and %d", i, key, len(headers), m.Key, len(m.Headers))
			}
			for j, h := range headers {
				if h.Name != m.Headers[j].Key || !bytes.Equal(h.Value, m.Headers[j].Value) {
					t.Errorf("record %d header %d: %q=%q, want %q=%q", i, j, h.Name, h.Value, m.Headers[j].Key, m.Headers[j].Value)
				}
			}
		}
	})
}
