package sink

import "fmt"

// breaker bounds how many dead letters a table's refusals can make. A row that ClickHouse refuses is the row's fault where
// the others go in; where rows are refused by the dozen it is the table's: a constraint or a column that somebody has
// added. Its rules:
//
//   - It counts for each table by itself: what is wrong with one must not hide among the rows of the others.
//   - It opens when more than share of the table's last rows, a window of them, were refused. A window that is not full
//     yet counts as full, so that one bad row among the first ten opens nothing.
//   - **It decides before a dead letter is written.** The rows of a batch count for the following ones once all of the
//     batch has been judged; a batch that is given up before has never counted, because it will be judged again.
//   - While it is open, nothing more of the table is blamed. It closes when a row that was refused goes in after all.
//
// It is for one goroutine at a time: batches are inserted one after another.
type breaker struct {
	window, most int // of so many rows, this many may be refused
	tables       map[string]*window
}

// newBreaker opens when of a table's last rows (window) more than a share, in per cent, were refused.
func newBreaker(rows, percent int) *breaker {
	return &breaker{window: rows, most: rows * percent / 100, tables: map[string]*window{}}
}

// trial is a copy of a table's window, for the judging of a batch.
func (k *breaker) trial(table string) *window {
	w := &window{size: k.window}
	if past := k.tables[table]; past != nil {
		w.runs, w.rows, w.refused = append(w.runs, past.runs...), past.rows, past.refused
	}
	return w
}

// open says whether a window holds too many refusals.
func (k *breaker) open(w *window) bool { return w.refused > k.most }

// settle makes what a batch's rows have come to the past of the next.
func (k *breaker) settle(table string, w *window) { k.tables[table] = w }

// window is what became of a table's last rows: their runs, the oldest first.
type window struct {
	size          int
	runs          []run
	rows, refused int // in the runs: at most size
}

type run struct {
	rows    int
	refused bool
}

// add appends rows and forgets those that are too old.
func (w *window) add(rows int, refused bool) *window {
	rows = min(rows, w.size)
	if rows == 0 {
		return w
	}
	if last := len(w.runs) - 1; last >= 0 && w.runs[last].refused == refused {
		w.runs[last].rows += rows
	} else {
		w.runs = append(w.runs, run{rows, refused})
	}
	w.count(rows, refused)
	for w.rows > w.size {
		oldest := &w.runs[0]
		gone := min(oldest.rows, w.rows-w.size)
		w.count(-gone, oldest.refused)
		if oldest.rows -= gone; oldest.rows == 0 {
			w.runs = w.runs[1:]
		}
	}
	return w
}

func (w *window) count(rows int, refused bool) {
	w.rows += rows
	if refused {
		w.refused += rows
	}
}

// trippedError says that a table's breaker is open.
type trippedError struct {
	table       string
	refused, of int    // rows of a window
	reason      string // describe of the last refusal
}

func (e *trippedError) Error() string {
	return fmt.Sprintf("ClickHouse refuses the rows of table %s (%d of the last %d; %s): the sink makes no more dead letters of them, keeps its offsets and tries one row after another. Look at what was changed on the table: SHOW CREATE TABLE for its constraints and materialized columns, and the materialized views that read it. If the rows themselves are bad, raise reject-percent",
		e.table, e.refused, e.of, e.reason)
}
