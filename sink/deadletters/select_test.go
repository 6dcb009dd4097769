package deadletters_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// positions are those that a filter means, by Each.
func (d *db) positions(f deadletters.Filter) []string {
	d.Helper()
	found := []string{}
	s := d.sel(f)
	err := d.table(d.config()).Each(d.Context(), s, func(one deadletters.Summary) error {
		found = append(found, one.String())
		return nil
	})
	if err != nil {
		d.Fatal(err)
	}
	if uint64(len(found)) != s.Letters() {
		d.Errorf("%d letters were announced, %d came", s.Letters(), len(found))
	}
	return found
}

func TestFilters(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury( // offsets 0 to 7
		dead{partition: 1, body: `{"id":`, reason: schema.InvalidJSON},
		dead{partition: 1, body: `{"type":"lead.created","data":{"n":123456789012345678901234567890}}`, reason: schema.BadEnvelope},
		dead{partition: 2, body: "\xff" + `{"type": "task.done", `, reason: schema.InvalidUTF8},
		dead{partition: 2, body: `{"data":{"type":"nested"},"type":"partner.joined"}`, reason: schema.BadEnvelope},
		dead{partition: 2, body: `x`, reason: schema.Rejected, headers: []schema.Header{{Name: "event-id", Value: []byte("evt_1")}, {Name: "event-type", Value: []byte("form.sent")}}},
		dead{partition: 2, epoch: 1, body: ``, reason: schema.InvalidJSON},
		dead{partition: 3, body: `{"type":"it's \\ \"odd\""}`, reason: schema.BadEnvelope},
	)
	d.next = 1
	d.bury(dead{partition: 2, body: event("evt_2", "lead.created", `{}`), reason: schema.Rejected})
	d.discard(deadletters.Filter{Statuses: openOnes.Statuses, Partitions: []int32{3}})
	d.replay(deadletters.Filter{Statuses: openOnes.Statuses, Partitions: []int32{2}, Places: []deadletters.Place{place(t, "2:1")}})
	all := []string{"1:0", "1:1", "2:1", "2:2", "2:3", "2:4", "3:6", "1/2:5"}
	second := func(n int) time.Time { return at(0, int64(n)).ReceivedAt }
	for name, test := range map[string]struct {
		filter deadletters.Filter
		want   []string
	}{
		"none":               {deadletters.Filter{}, all},
		"open":               {openOnes, []string{"1:0", "1:1", "2:2", "2:3", "2:4", "1/2:5"}},
		"discarded":          {deadletters.Filter{Statuses: []schema.Status{schema.Discarded}}, []string{"3:6"}},
		"replayed, or not":   {deadletters.Filter{Statuses: []schema.Status{schema.Discarded, schema.Replayed}}, []string{"2:1", "3:6"}},
		"one reason":         {deadletters.Filter{Reasons: []schema.Reason{schema.InvalidJSON}}, []string{"1:0", "1/2:5"}},
		"two reasons":        {deadletters.Filter{Reasons: []schema.Reason{schema.InvalidUTF8, schema.Rejected}}, []string{"2:1", "2:2", "2:4"}},
		"an unknown reason":  {deadletters.Filter{Reasons: []schema.Reason{"x"}}, nil},
		"type of an object":  {deadletters.Filter{Types: []string{"lead.created"}}, []string{"1:1", "2:1"}},
		"type of no JSON":    {deadletters.Filter{Types: []string{"task.done"}}, []string{"2:2"}},
		"type behind data":   {deadletters.Filter{Types: []string{"partner.joined", "nested"}}, []string{"2:3"}},
		"type in a header":   {deadletters.Filter{Types: []string{"form.sent"}}, []string{"2:4"}},
		"an odd type":        {deadletters.Filter{Types: []string{`it's \ "odd"`}}, []string{"3:6"}},
		"since":              {deadletters.Filter{Since: second(4)}, []string{"2:4", "3:6", "1/2:5"}},
		"until":              {deadletters.Filter{Until: second(1)}, []string{"1:0"}},
		"since and until":    {deadletters.Filter{Since: second(2), Until: second(4)}, []string{"2:2", "2:3"}},
		"until, to the ms":   {deadletters.Filter{Until: second(0).Add(time.Millisecond)}, []string{"1:0"}},
		"a partition":        {deadletters.Filter{Partitions: []int32{1}}, []string{"1:0", "1:1"}},
		"partitions":         {deadletters.Filter{Partitions: []int32{1, 3, 400}}, []string{"1:0", "1:1", "3:6"}},
		"a place":            {deadletters.Filter{Places: []deadletters.Place{place(t, "2:5"), place(t, "1:1")}}, []string{"1:1", "1/2:5"}},
		"a place in epoch 1": {deadletters.Filter{Places: []deadletters.Place{place(t, "1/2:5"), place(t, "1/2:4")}}, []string{"1/2:5"}},
		"a place in epoch 0": {deadletters.Filter{Places: []deadletters.Place{place(t, "0/2:5")}}, nil},
		"limit":              {deadletters.Filter{Limit: 3}, all[:3]},
		"all at once": {deadletters.Filter{
			Reasons: []schema.Reason{schema.BadEnvelope}, Types: []string{"partner.joined"}, Since: second(0), Until: second(9),
			Partitions: []int32{2}, Places: []deadletters.Place{place(t, "2:3")}, Statuses: openOnes.Statuses, Limit: 5,
		}, []string{"2:3"}},
	} {
		if got := d.positions(test.filter); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	wantCounts := "[{bad_envelope open 2} {invalid_json open 2} {bad_envelope discarded 1} {invalid_utf8 open 1} {rejected open 1} {rejected replayed 1}]"
	if got := fmt.Sprint(d.sel(deadletters.Filter{}).Counts); got != wantCounts {
		t.Errorf("counts: got %s, want %s", got, wantCounts)
	}
}

func place(t *testing.T, text string) deadletters.Place {
	t.Helper()
	p, err := deadletters.ParsePlace(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "1", "1:", ":1", "a:1", "1:b", "-1:2", "1:-2", "1/2", "x/1:2", "/1:2", "1/1/1:2", "1:2:3", "1:9223372036854775808", "2147483648:1", "4294967296/1:2", "1: 2", "0x1:2"} {
		if p, err := deadletters.ParsePlace(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, p)
		}
	}
	for good, want := range map[string]string{"1:2": "1:2", "0/1:2": "1:2", "7/1:2": "7/1:2", "2147483647:9223372036854775807": "2147483647:9223372036854775807"} {
		if got := place(t, good).String(); got != want {
			t.Errorf("%q: got %s, want %s", good, got, want)
		}
	}
}

// Whatever stands in a filter is a value: it finds itself and nothing else, and does nothing.
func TestFiltersAreNoSQL(t *testing.T) {
	t.Parallel()
	d := open(t)
	attempts := []string{
		`' OR 1=1 --`, `'); DROP TABLE ` + d.name + `.dead_letters; --`, `\' OR \'1\'=\'1`, `\`, `\\'`, `']) OR has(['x`, `x' UNION ALL SELECT 1 --`,
		`?`, `? ?`, `@p1`, `$1`, `{type:String}`, "`", `"`, `/*`, `--`, "a\nb", "a\tb", `%s`, `{{.}}`, "NULL", "''", `é"ü`,
	}
	for _, a := range attempts {
		d.bury(dead{body: "x", reason: schema.Reason(a), headers: []schema.Header{{Name: "event-type", Value: []byte(a)}}})
	}
	for i, a := range attempts {
		want := []string{fmt.Sprintf("0:%d", i)}
		for name, f := range map[string]deadletters.Filter{"type": {Types: []string{a}}, "reason": {Reasons: []schema.Reason{schema.Reason(a)}}} {
			if got := d.positions(f); !slices.Equal(got, want) {
				t.Errorf("%s %q: got %v, want %v", name, a, got, want)
			}
		}
		if got := d.positions(deadletters.Filter{Statuses: []schema.Status{schema.Status(a)}}); len(got) > 0 {
			t.Errorf("status %q: got %v", a, got)
		}
	}
	if result := d.replay(deadletters.Filter{Types: attempts}); result.Stays() != uint64(len(attempts)) {
		t.Errorf("got %+v", result)
	}
	d.check(len(attempts), 0, 0)
}

// The bytes are those that came, whatever they are, through a discard and a failed replay too.
func TestLettersByteForByte(t *testing.T) {
	t.Parallel()
	d := open(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := []string{
		"", "\x00", "\xff\xfe", string(every), "a\x00b\x00", "\xed\xa0\x80", "\x1b[2J\x1b]0;owned\x07", strings.Repeat("ab\x00\xff", 3<<20), "{}", "\r\n\t ",
		strings.Repeat("x", 5<<20), "\u202e\u2028",
	}
	var letters []dead
	for i, b := range bodies {
		letters = append(letters, dead{
			partition: 1, body: b, key: b[:min(len(b), 300)], reason: schema.InvalidUTF8, detail: fmt.Sprintf("number %d", i),
			headers: []schema.Header{{Name: "a", Value: []byte(b[:min(len(b), 300)])}, {Name: "a", Value: nil}, {Name: "\x00", Value: []byte("\xff")}},
		})
	}
	for _, l := range letters { // apart, as a sink would: the largest is more than a block should be
		d.bury(l)
	}
	same := func(what string) {
		t.Helper()
		cfg := d.config()
		cfg.ChunkBytes = 1 << 20 // less than the largest
		n := 0
		err := d.table(cfg).EachLetter(d.Context(), d.sel(deadletters.Filter{}), func(l *deadletters.Letter) error {
			want := letters[l.Offset]
			if string(l.Payload) != want.body || string(l.Key) != want.key || l.Bytes != uint64(len(want.body)) {
				t.Errorf("%s: letter %d: %d bytes, want %d: not the same", what, l.Offset, len(l.Payload), len(want.body))
			}
			if !slices.EqualFunc(l.Headers, want.headers, func(a, b schema.Header) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }) {
				t.Errorf("%s: letter %d: got headers %q, want %q", what, l.Offset, l.Headers, want.headers)
			}
			if r := at(1, l.Offset); !l.ReceivedAt.Equal(r.ReceivedAt) || !l.LoadedAt.Equal(r.LoadedAt) {
				t.Errorf("%s: letter %d: received %v, loaded %v, want %v, %v", what, l.Offset, l.ReceivedAt, l.LoadedAt, r.ReceivedAt, r.LoadedAt)
			}
			n++
			return nil
		})
		if err != nil || n != len(bodies) {
			t.Errorf("%s: got %d letters, want %d, and %v", what, n, len(bodies), err)
		}
	}
	same("as they came")
	if result := d.replay(openOnes); result.Stays() != uint64(len(bodies)) {
		t.Errorf("got %+v", result)
	}
	d.want("SELECT countIf(version > 0) FROM db.dead_letters FINAL", fmt.Sprint(len(bodies))) // what is said of them today
	same("after a replay")
	d.discard(openOnes)
	same("discarded")
	d.check(0, 0, len(bodies))
}
