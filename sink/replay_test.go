package sink_test

import (
	"fmt"
	"testing"
)

// An operator deletes rows and has them read again: the batches are cut as they were, and the tokens must not be.
func TestAReplayBringsDeletedRowsBack(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]string{
		"truncate":           `TRUNCATE TABLE {db}.%s`,
		"mutation":           `ALTER TABLE {db}.%s DELETE WHERE 1 SETTINGS mutations_sync = 2`,
		"lightweight delete": `DELETE FROM {db}.%s WHERE 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.produce(0, events(0, 50)...)
			r := w.start(w.config())
			w.check()
			r.stop()
			for _, table := range []string{"lead_events", "deliveries"} {
				w.exec(fmt.Sprintf(remove, table))
			}
			w.rewind()
			w.start(w.config())
			w.check()
		})
	}
}
