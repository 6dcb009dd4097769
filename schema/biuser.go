package schema

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// BIUser is who BI tools connect as: a user that reads one database, changes nothing, and **sees each event once whatever it
// asks and sets**. Its profile bounds what a question may take from the sinks' inserts.
type BIUser struct {
	// Name, Role and Profile are the user's, the role's and the settings profile's. The role may be given to further users: it
	// brings the profile with it. They default to "bi", "bi_reader" and "bi". A role does not share a user's name, because a
	// GRANT could not tell them apart.
	Name, Role, Profile string

	// Database is what it reads. Defaults to "leadron".
	Database string

	// MaxExecutionTime is how long a question may take when the client does not say, MaxMemory how many bytes, whatever the
	// client says. They default to 5 minutes and 4 GiB.
	MaxExecutionTime time.Duration
	MaxMemory        int

	// Hash and Salt are the password's: see SetPassword.
	Hash, Salt string
}

// ProfileSetting is one setting of a profile, with its constraint.
type ProfileSetting struct {
	Name, Value string
	Const       bool   // nobody may change it
	Min, Max    string // bounds of a change; "" for none
	Why         string
}

const (
	maxQuestion = time.Hour // a client may ask for so long, for an extract
	saltBytes   = 16
)

// DefaultBIUser has the defaults.
func DefaultBIUser() BIUser { return (BIUser{}).withDefaults() }

func (b BIUser) withDefaults() BIUser {
	b.Name, b.Role, b.Profile = cmp.Or(b.Name, "bi"), cmp.Or(b.Role, "bi_reader"), cmp.Or(b.Profile, "bi")
	b.Database = cmp.Or(b.Database, "leadron")
	b.MaxExecutionTime, b.MaxMemory = cmp.Or(b.MaxExecutionTime, 5*time.Minute), cmp.Or(b.MaxMemory, 4<<30)
	return b
}

// Validate names every field that cannot be used.
func (b BIUser) Validate() error {
	b = b.withDefaults()
	var errs []error
	for _, f := range []struct{ field, name string }{{"Name", b.Name}, {"Role", b.Role}, {"Profile", b.Profile}, {"Database", b.Database}} {
		if !databaseName.MatchString(f.name) {
			errs = append(errs, fmt.Errorf("%s: %q is not a name that needs no quoting: letters, digits and underscores, at most 63, a digit not first", f.field, f.name))
		}
	}
	if b.Name == b.Role {
		errs = append(errs, fmt.Errorf("%s: %q is the user's name too, and a GRANT could not tell them apart", "Role", b.Role))
	}
	if b.MaxExecutionTime < time.Second || b.MaxExecutionTime > maxQuestion {
		errs = append(errs, fmt.Errorf("MaxExecutionTime: %s is not between 1s and %s", b.MaxExecutionTime, maxQuestion))
	}
	if b.MaxMemory < 64<<20 {
		errs = append(errs, fmt.Errorf("MaxMemory: %d bytes are less than 64 MiB, which no question over a year of events fits in", b.MaxMemory))
	}
	return errors.Join(errs...)
}

// SetPassword keeps what ClickHouse compares with, sha256(password + salt), and not the password: it is in no statement, so it
// can be in no log. The salt is new each time.
func (b *BIUser) SetPassword(password string) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	b.Salt = strings.ToUpper(hex.EncodeToString(salt))
	hash := sha256.Sum256([]byte(password + b.Salt))
	b.Hash = strings.ToUpper(hex.EncodeToString(hash[:]))
}

// Settings are the profile's.
func (b BIUser) Settings() []ProfileSetting {
	b = b.withDefaults()
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	memory := strconv.Itoa(b.MaxMemory)
	return []ProfileSetting{
		{Name: "readonly", Value: "2", Why: "reads, and may change settings: Metabase's driver sends some with every query, which readonly = 1 refuses"},
		{Name: "final", Value: "1", Const: true, Why: "each event once, in tables too, with no FINAL in the query"},
		{
			Name: "do_not_merge_across_partitions_select_final", Value: "0", Const: true,
			Why: "FINAL over a table that somebody has partitioned would count an event once a partition",
		},
		{
			Name: "enable_automatic_decision_for_merging_across_partitions_for_final", Value: "0", Const: true,
			Why: "the same, decided by ClickHouse itself",
		},
		{
			Name: "max_execution_time", Value: seconds(b.MaxExecutionTime), Min: "1", Max: seconds(maxQuestion),
			Why: "seconds; who closes the browser stops no query; a client may ask for an hour, for an extract, and not for ever, which is 0",
		},
		{
			Name: "timeout_overflow_mode", Value: "throw", Const: true,
			Why: "what was found until then, without an error, would be a wrong number",
		},
		{
			Name: "max_memory_usage", Value: memory, Min: "1", Max: memory,
			Why: "bytes of one query; the sinks' inserts need the rest; 0 would be all",
		},
	}
	// No max_result_rows: a result cut short is a wrong number, and one refused is an extract that never works. Time and memory
	// end what runs away.
}

// Grants are the privileges, as a GRANT has them before its TO. What clients ask of system tables (databases, tables, columns,
// functions, settings) every user may read, each about what it is granted. system.dashboards, ClickHouse's own charts and no
// data, is what the page /dashboard lists: refused, it hides every chart, its own or not. No source is granted: url(), s3()
// and the like would let a dashboard's author reach what the server reaches.
func (b BIUser) Grants() []string {
	return []string{"SELECT ON " + b.withDefaults().Database + ".*", "SELECT ON system.dashboards"}
}

// Subject is a statement of Statements as an error may show it: without settings and hash.
func Subject(statement string) string {
	for _, end := range []string{" SETTINGS readonly", " SETTINGS PROFILE '", " IDENTIFIED"} {
		statement, _, _ = strings.Cut(statement, end)
	}
	return statement
}

// Statements make user, role and profile, or bring those that are there to the same. **What exists is altered and never
// replaced**: a replaced role would be taken from every user that an administrator has given it to. Hash and Salt must be set.
func (b BIUser) Statements() []string {
	b = b.withDefaults()
	profile := "SETTINGS " + b.profileSQL()
	inherits := fmt.Sprintf("SETTINGS PROFILE '%s'", b.Profile)
	identified := fmt.Sprintf("IDENTIFIED WITH sha256_hash BY '%s' SALT '%s'", b.Hash, b.Salt)
	statements := []string{
		fmt.Sprintf("CREATE SETTINGS PROFILE IF NOT EXISTS %s", b.Profile),
		fmt.Sprintf("ALTER SETTINGS PROFILE %s %s", b.Profile, profile),
		fmt.Sprintf("CREATE ROLE IF NOT EXISTS %s", b.Role),
		fmt.Sprintf("ALTER ROLE %s %s", b.Role, inherits),
	}
	for _, g := range b.Grants() {
		statements = append(statements, fmt.Sprintf("GRANT %s TO %s", g, b.Role))
	}
	return append(statements,
		fmt.Sprintf("CREATE USER IF NOT EXISTS %s %s", b.Name, identified),
		// The profile once more: a user may leave its role (SET ROLE NONE), set what it likes, and take it again.
		fmt.Sprintf("ALTER USER %s %s %s", b.Name, identified, inherits),
		fmt.Sprintf("GRANT %s TO %s", b.Role, b.Name),
		fmt.Sprintf("ALTER USER %s DEFAULT ROLE %s", b.Name, b.Role))
}

func (b BIUser) profileSQL() string {
	var parts []string
	for _, s := range b.Settings() {
		part := s.Name + " = " + s.literal()
		if s.Min != "" {
			part += " MIN " + s.Min
		}
		if s.Max != "" {
			part += " MAX " + s.Max
		}
		if s.Const {
			part += " CONST"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// literal is the value in SQL: a number, or a word in quotes.
func (s ProfileSetting) literal() string {
	if _, err := strconv.ParseInt(s.Value, 10, 64); err == nil {
		return s.Value
	}
	return literal(s.Value)
}

// Script is the statements for a person to read and run, each setting with its reason.
func (b BIUser) Script() string {
	var out strings.Builder
	d := b.withDefaults()
	fmt.Fprintf(&out, "-- %s reads the database %s, changes nothing, and sees each event once. May be run again.\n", d.Name, d.Database)
	for _, s := range d.Settings() {
		fmt.Fprintf(&out, "--   %s: %s\n", s.Name, s.Why)
	}
	for _, s := range d.Statements() {
		out.WriteString(s + ";\n")
	}
	return out.String()
}
