package local_test

import (
	"fmt"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// The user bi of the local stack is the one that `leadhouse schema bi-user` makes: what the server says of its profile is what
// the statements would set.
func TestBIUserIsThatOfTheProduct(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	settings := (schema.BIUser{}).Settings()
	want := ""
	for i, s := range settings {
		writability := `\N`
		if s.Const {
			writability = "CONST"
		}
		if i > 0 {
			want += "\n"
		}
		want += fmt.Sprintf("%s\t%s\t%s\t%s\t%s", s.Name, s.Value, null(s.Min), null(s.Max), writability)
	}
	got := query(t, ch, "SELECT setting_name, value, min, max, writability FROM system.settings_profile_elements WHERE profile_name = 'bi' ORDER BY index")
	if got != want {
		t.Errorf("the profile bi: got\n%s\nwant\n%s", got, want)
	}
}

func null(s string) string {
	if s == "" {
		return `\N`
	}
	return s
}
