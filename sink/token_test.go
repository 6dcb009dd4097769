package sink

import (
	"testing"
	"time"
)

func TestATokenIsOverEverythingThatMakesABlockAnother(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_780_000_000_000)
	type row struct {
		epoch     uint32
		partition int32
		offset    int64
		at        time.Time
		id        string
	}
	token := func(salt, topic, table string, revision uint32, rows ...row) string {
		var made token
		made.begin("used", "before", "for another", 9)
		made.row(0, 1, &record{offset: 1, received: now.UnixMilli()}, "x")
		made.begin(salt, topic, table, revision)
		for _, r := range rows {
			made.row(r.epoch, r.partition, &record{offset: r.offset, received: r.at.UnixMilli()}, r.id)
		}
		if first, again := made.String(), made.String(); first != again {
			t.Errorf("asked twice, the token is %s and %s", first, again)
		}
		return made.String()
	}
	a, b := row{0, 0, 7, now, "evt_1"}, row{0, 1, 8, now, "evt_2"}
	base := token("s", "t", "lead_events", 1, a, b)
	if again := token("s", "t", "lead_events", 1, a, b); again != base {
		t.Errorf("the same rows have the tokens %s and %s", base, again)
	}
	for what, other := range map[string]string{
		"salt":          token("r", "t", "lead_events", 1, a, b),
		"topic":         token("s", "u", "lead_events", 1, a, b),
		"table":         token("s", "t", "task_events", 1, a, b),
		"revision":      token("s", "t", "lead_events", 2, a, b),
		"epoch":         token("s", "t", "lead_events", 1, row{1, 0, 7, now, "evt_1"}, b), // a recreated topic with copied records
		"partition":     token("s", "t", "lead_events", 1, row{0, 2, 7, now, "evt_1"}, b),
		"offset":        token("s", "t", "lead_events", 1, row{0, 0, 9, now, "evt_1"}, b),
		"record time":   token("s", "t", "lead_events", 1, row{0, 0, 7, now.Add(time.Millisecond), "evt_1"}, b), // a recreated topic
		"event ID":      token("s", "t", "lead_events", 1, row{0, 0, 7, now, "evt_3"}, b),
		"order":         token("s", "t", "lead_events", 1, b, a),
		"fewer rows":    token("s", "t", "lead_events", 1, a),
		"shifted bytes": token("s", "tl", "ead_events", 1, a, b),
	} {
		if other == base {
			t.Errorf("another %s, and the same token", what)
		}
	}
}
