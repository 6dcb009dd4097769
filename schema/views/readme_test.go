package views_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every question of the README's section "Ask" is one query, and has an answer.
func TestREADMEsQuestionsHaveAnswers(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Ask\n")
	section, _, _ = strings.Cut(section, "\n## ")
	questions := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(questions) < 6 {
		t.Fatalf("the README has %d questions, want 6 at least", len(questions))
	}
	w := newWorld(1, theDay(t), 1500)
	wh := open(t, shapes()[0])
	wh.load(w.deliveries)
	for _, q := range questions {
		sql := strings.TrimRight(strings.TrimSpace(q[1]), ";")
		if rows := wh.rows("("+strings.ReplaceAll(sql, "leadron.", wh.Database+".")+")", "*", nil); len(rows) == 0 {
			t.Errorf("no answer: %s", sql)
		}
	}
}
