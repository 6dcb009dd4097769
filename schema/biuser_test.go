package schema_test

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// The embedded server keeps no users that SQL makes. It reads every statement all the same, down to the settings, their values
// and their bounds, before it says that: anything else that it says is a mistake in the statement.
func TestAServerReadsEveryStatementOfTheBIUser(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	bi := schema.BIUser{Name: "bi_read", Role: "bi_read_role", Profile: "bi_read_profile"}
	bi.SetPassword("secret")
	for _, statement := range bi.Statements() {
		_, err := ch.Query(t.Context(), statement)
		if err != nil && !strings.Contains(err.Error(), "no writeable access storage") && !strings.Contains(err.Error(), "There is no ") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	// It would have found a mistake.
	for _, wrong := range []string{"finale = 1", "final = 'abc'", "timeout_overflow_mode = 'none'", "final = 1 CONSTANT"} {
		_, err := ch.Query(t.Context(), "ALTER SETTINGS PROFILE bi_read_profile SETTINGS "+wrong)
		if err == nil || strings.Contains(err.Error(), "There is no ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestTheBIUsersPasswordIsInNoStatement(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery staple"
	var bi, again schema.BIUser
	bi.SetPassword(password)
	again.SetPassword(password)
	if strings.Contains(bi.Script(), password) {
		t.Error("the script has the password")
	}
	sum := sha256.Sum256([]byte(password + bi.Salt))
	if want := strings.ToUpper(hex.EncodeToString(sum[:])); bi.Hash != want {
		t.Errorf("hash: got %s, want %s", bi.Hash, want)
	}
	if bi.Salt == again.Salt || len(bi.Salt) != 32 {
		t.Errorf("salts: %s, %s", bi.Salt, again.Salt)
	}
}

// Each of these lets an event count twice, or cuts a result short, when somebody changes it.
func TestWhatDecidesTheNumbersIsConstant(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"final": "1", "do_not_merge_across_partitions_select_final": "0",
		"enable_automatic_decision_for_merging_across_partitions_for_final": "0", "timeout_overflow_mode": "throw",
	}
	got := map[string]string{}
	for _, s := range (schema.BIUser{}).Settings() {
		if s.Const {
			got[s.Name] = s.Value
		}
		if s.Name == "readonly" && s.Value != "2" {
			t.Errorf("readonly = %s: Metabase's driver sends settings, and whoever may write may do all", s.Value)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("constant settings: got %v, want %v", got, want)
	}
}

func TestWhatExistsIsNeverReplaced(t *testing.T) {
	t.Parallel()
	for _, s := range (schema.BIUser{}).Statements() {
		if strings.Contains(s, "REPLACE") || strings.Contains(s, "DROP") {
			t.Errorf("a role or user given to others would be lost: %s", s)
		}
		if strings.HasPrefix(s, "CREATE") && !strings.Contains(s, "IF NOT EXISTS") {
			t.Errorf("a second run would fail: %s", s)
		}
	}
}

func TestTheBIUsersFieldsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		user schema.BIUser
		want string // the field named; "" for none
	}{
		{schema.BIUser{}, ""},
		{schema.BIUser{Name: "metabase", Role: "readers", Profile: "p", Database: "x", MaxExecutionTime: time.Second, MaxMemory: 64 << 20}, ""},
		{schema.BIUser{Name: "bi; DROP USER default"}, "Name"},
		{schema.BIUser{Role: "bi`"}, "Role"},
		{schema.BIUser{Role: "bi"}, "Role"},
		{schema.BIUser{Profile: "'"}, "Profile"},
		{schema.BIUser{Database: "a.b"}, "Database"},
		{schema.BIUser{MaxExecutionTime: time.Millisecond}, "MaxExecutionTime"},
		{schema.BIUser{MaxExecutionTime: 2 * time.Hour}, "MaxExecutionTime"},
		{schema.BIUser{MaxMemory: 1000}, "MaxMemory"},
	} {
		err := c.user.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want+": ") {
			t.Errorf("%+v: got %v, want a problem of %q", c.user, err, c.want)
		}
	}
}
