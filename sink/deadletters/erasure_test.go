package deadletters_test

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// erase records a lead's tombstone.
func (d *db) erase(lead string) {
	d.Helper()
	if _, err := schema.Erase(d.Context(), d.conn, d.name, lead, time.Now()); err != nil {
		d.Fatal(err)
	}
}

// sweep blanks the dead letters of l_1, as `leadhouse erase` does.
func (d *db) sweep() {
	d.Helper()
	d.exec("ALTER TABLE db.dead_letters UPDATE " + schema.BlankingLetters() + ` WHERE position(payload, '"l_1"') > 0 SETTINGS mutations_sync = 2`)
}

// other is a letter of a lead whose ID begins like l_1's.
var other = dead{body: event("other", "lead.created", `{"leadId":"l_12","email":"b@example.com"}`), reason: schema.Rejected, detail: "code 469: said once"}

const (
	blankLetters = "SELECT (count(), countIf(payload = ''), countIf(detail = '" + schema.ErasedDetail + "'), countIf(status = 'replayed')) FROM db.dead_letters FINAL"
	blankRows    = "SELECT (count(), countIf(payload = ''), countIf(email IS NULL), countIf(lead_id = 'l_1')) FROM db.lead_events FINAL"
	outcomesNow  = "SELECT (countIf(outcome = 'inserted'), countIf(outcome = 'erased'), countIf(outcome = 'dead_lettered'), max(version)) FROM db.deliveries FINAL"
)

// A letter about an erased lead is replayed blanked; another lead's is replayed whole. Again, and killed in between, it is
// the same.
func TestReplayOfAnErasedLead(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 3, "lead.created")...)
	d.bury(other)
	d.bury(dead{body: `{"data":{"leadId":"l_1"}`, reason: schema.InvalidUTF8, detail: "an older decoder's"})
	d.erase("l_1")

	dry, err := d.table(d.config()).Replay(t.Context(), d.sel(openOnes), true)
	if err != nil || dry.Blanked != 3 || dry.Replays() != 4 {
		t.Errorf("dry: got %+v, %v", dry, err)
	}
	d.want("SELECT count() FROM db.lead_events", "0")
	if result := d.replay(openOnes); result.Blanked != 3 || result.Replays() != 4 || result.Stays() != 1 || result.Erased != 0 {
		t.Errorf("got %+v", result)
	}
	d.want(blankRows, "(4,3,3,3)")
	d.want(outcomesNow, "(1,3,1,1)")
	d.want(blankLetters, "(5,4,4,4)") // the one that is no event is written again too, with what is said of it today

	for range 2 { // all of them once more: the blanked ones are left alone
		if result := d.replay(deadletters.Filter{}); result.Erased != 4 || result.Replays() != 1 || result.Settled != 0 {
			t.Errorf("again: got %+v", result)
		}
	}
	d.want(blankRows, "(4,3,3,3)")
	d.want(outcomesNow, "(1,3,1,1)")
	d.want(blankLetters, "(5,4,4,4)")
	d.want("SELECT toString(arraySort(groupUniqArray(reason))) FROM db.dead_letters FINAL", "['invalid_json','rejected']")
}

// A replay that is killed between any two of its inserts is finished by the next, with bytes that a sweep has taken
// meanwhile or not.
func TestAKilledReplayOfAnErasedLead(t *testing.T) {
	t.Parallel()
	for _, swept := range []bool{false, true} {
		for _, killed := range []string{"after the row", "after the ledger"} {
			t.Run(fmt.Sprint(killed, " swept ", swept), func(t *testing.T) {
				t.Parallel()
				d := open(t)
				d.bury(rejected("lead", 1, "lead.created")...)
				d.erase("l_1")
				d.replay(openOnes)
				d.exec("TRUNCATE TABLE db.dead_letters") // as it was
				d.next = 0
				d.bury(rejected("lead", 1, "lead.created")...)
				if killed == "after the row" {
					d.exec("ALTER TABLE db.deliveries DELETE WHERE version = 1 SETTINGS mutations_sync = 2")
				}
				if swept {
					d.sweep()
				}
				result := d.replay(openOnes)
				if killed == "after the row" && swept { // nobody can tell any more: it stays what it is
					if result.Erased != 1 {
						t.Errorf("got %+v", result)
					}
					d.want(outcomesNow, "(0,0,1,0)")
					d.want(blankLetters, "(1,1,1,0)")
					return
				}
				if result.Blanked+result.Settled != 1 {
					t.Errorf("got %+v", result)
				}
				d.want(blankRows, "(1,1,1,1)")
				d.want(outcomesNow, "(0,1,0,1)")
				d.want(blankLetters, "(1,1,1,1)")
			})
		}
	}
}

// A letter that an erasure has blanked is no letter that is broken: it keeps its reason, and shows what it is.
func TestABlankedLetterIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 1, "lead.created")...)
	d.bury(dead{body: "", reason: schema.InvalidJSON, detail: "byte 0: expected a value"}) // empty by itself
	d.erase("l_1")
	d.sweep()
	var shown []bool
	if err := d.table(d.config()).EachLetter(t.Context(), d.sel(openOnes), func(l *deadletters.Letter) error {
		shown = append(shown, l.Erased())
		return nil
	}); err != nil || fmt.Sprint(shown) != "[true false]" {
		t.Errorf("got %v, %v", shown, err)
	}
	if result := d.replay(openOnes); result.Erased != 1 || result.Stays() != 1 {
		t.Errorf("got %+v", result)
	}
	d.want("SELECT (reason, status, version) FROM db.dead_letters FINAL WHERE kafka_offset = 0", "('rejected','open',0)")

	// A sink has read the record again since, and written its row.
	d.exec("INSERT INTO db.deliveries SELECT * REPLACE ('erased' AS outcome) FROM db.deliveries FINAL WHERE kafka_offset = 0")
	dry, err := d.table(d.config()).Replay(t.Context(), d.sel(openOnes), true)
	if err != nil || dry.Settled != 1 {
		t.Errorf("got %+v, %v", dry, err)
	}
	d.want("SELECT status FROM db.dead_letters FINAL WHERE kafka_offset = 0", "open")
	if result := d.replay(openOnes); result.Settled != 1 || result.Erased != 0 {
		t.Errorf("got %+v", result)
	}
	d.want("SELECT (reason, status) FROM db.dead_letters FINAL WHERE kafka_offset = 0", "('rejected','replayed')")
	d.want("SELECT (outcome, version) FROM db.deliveries FINAL WHERE kafka_offset = 0", "('erased',1)")
}

// A discard writes the letter again, without its bytes; one whose event is in its table, blanked, is replayed.
func TestDiscardOfAnErasedLead(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 4, "lead.created")...)
	d.bury(other)
	d.erase("l_1")
	d.replay(deadletters.Filter{Places: []deadletters.Place{{AnyEpoch: true}}}) // the first
	d.exec("INSERT INTO db.dead_letters SELECT * REPLACE ('open' AS status, version + 8589934592 AS version) FROM db.dead_letters FINAL WHERE kafka_offset = 0")
	d.exec("INSERT INTO db.deliveries SELECT * REPLACE ('erased' AS outcome) FROM db.deliveries FINAL WHERE kafka_offset = 1") // a sink's, of the second
	d.exec("INSERT INTO db.lead_events SELECT * REPLACE ('lead_000002' AS event_id) FROM db.lead_events FINAL")                // another delivery's, of the third
	if done := d.discard(openOnes); done.Letters != 2 || done.Settled != 3 {
		t.Errorf("got %+v", done)
	}
	d.want("SELECT groupArray((kafka_offset, toString(status), payload = '')) FROM (SELECT * FROM db.dead_letters FINAL ORDER BY kafka_offset) WHERE kafka_offset > 0",
		"[(1,'replayed',1),(2,'replayed',1),(3,'discarded',1),(4,'discarded',0)]")
	d.want("SELECT groupArray(toString(outcome)) FROM (SELECT * FROM db.deliveries FINAL ORDER BY kafka_offset)", "['erased','erased','erased','dead_lettered','dead_lettered']")
}

// hook calls a function when the first line of a log comes.
type hook struct {
	once sync.Once
	call func()
}

func (h *hook) Write(p []byte) (int, error) {
	h.once.Do(h.call)
	return len(p), nil
}

var _ io.Writer = (*hook)(nil)

// The tombstone comes while a replay runs: between two chunks, or while the letters that it has read wait for ClickHouse.
func TestATombstoneDuringAReplay(t *testing.T) {
	t.Parallel()
	t.Run("between two chunks", func(t *testing.T) {
		t.Parallel()
		d := open(t)
		d.bury(rejected("lead", 20, "lead.created")...)
		cfg := d.config()
		cfg.ChunkRows = 10
		cfg.Progress = &tripwire{rows: 10, trip: func() { d.erase("l_1") }}
		if result, err := replay(t.Context(), cfg, openOnes); err != nil || result.Blanked != 10 || result.Replays() != 20 {
			t.Errorf("got %+v, %v", result, err)
		}
		d.want(blankRows, "(20,10,10,20)")
		d.want(outcomesNow, "(10,10,0,1)")
		d.want(blankLetters, "(20,10,10,20)")
	})
	t.Run("while the letters' status waits", func(t *testing.T) {
		t.Parallel()
		d := open(t)
		d.bury(rejected("lead", 3, "lead.created")...)
		cfg := d.config()
		cfg.ChunkRows = 1
		cfg.Progress = &tripwire{rows: 1, trip: func() { // what is there is too many parts already
			d.exec("ALTER TABLE db.dead_letters MODIFY SETTING parts_to_throw_insert = 1")
		}}
		cfg.Logger = zerolog.New(&hook{call: func() {
			d.erase("l_1")
			d.exec("ALTER TABLE db.dead_letters RESET SETTING parts_to_throw_insert")
		}})
		if _, err := replay(t.Context(), cfg, openOnes); err != nil {
			t.Error(err)
		}
		d.want("SELECT countIf(payload != '') FROM db.dead_letters FINAL", "1")
	})
	t.Run("while its rows wait", func(t *testing.T) {
		t.Parallel()
		d := open(t)
		d.bury(rejected("lead", 1, "lead.created")...)
		d.exec("ALTER TABLE db.lead_events RENAME COLUMN payload TO p")
		cfg := d.config()
		cfg.Logger = zerolog.New(&hook{call: func() {
			d.erase("l_1")
			d.exec("ALTER TABLE db.lead_events RENAME COLUMN p TO payload")
		}})
		if result, err := replay(t.Context(), cfg, openOnes); err != nil || result.Blanked != 1 {
			t.Errorf("got %+v, %v", result, err)
		}
		d.want(blankRows, "(1,1,1,1)")
		d.want(outcomesNow, "(0,1,0,1)")
	})
}
