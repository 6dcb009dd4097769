package sink

// Verdict is what can be done about an error of an insert. Package deadletters inserts as a sink does, and must judge
// ClickHouse's errors alike.
type Verdict = verdict

// The verdicts that it tells apart; see classify.
const (
	Mistyped = mistyped
	Poison   = poison
	Oversize = oversize
	Fatal    = fatal
)

// Judge is classify, the one place that decides.
func Judge(err error) Verdict { return classify(err) }

// Verbatim is a refusal as a dead letter's detail has it. It may quote values: it belongs into no log.
func Verbatim(refusal error) string { return verbatim(refusal) }

// Explain is an error for logs and terminals: what to do about it, where that is known, and no values of rows.
func Explain(err error) string { return describe(err) }
