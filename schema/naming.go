package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// Names that come from a catalog become SQL only through here. Rules:
//   - camelCase, kebab-case and dots become snake_case; what is then no plain lower-case name is refused, not mended.
//   - No name needs quoting in ClickHouse or in what BI tools generate: SQL's words get a neighbour (from → from_stage).
//   - All the same every name is quoted where a statement is built.

var plainName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// snake converts one key. The error tells the name and the rule.
func snake(name string) (string, error) {
	var b strings.Builder
	runes := []rune(name)
	upper := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	lower := func(i int) bool {
		return i >= 0 && i < len(runes) && (runes[i] >= 'a' && runes[i] <= 'z' || runes[i] >= '0' && runes[i] <= '9')
	}
	for i, r := range runes {
		switch {
		case upper(i):
			if lower(i-1) || upper(i-1) && lower(i+1) {
				b.WriteByte('_')
			}
			b.WriteRune(r - 'A' + 'a')
		case r == '-' || r == '.' || r == ' ':
			b.WriteByte('_')
		default:
			b.WriteRune(r)
		}
	}
	if s := b.String(); plainName.MatchString(s) {
		return s, nil
	}
	return "", fmt.Errorf("%.80q makes no column or table name: it must start with a letter and hold at most 63 letters, digits and underscores", name)
}

// columnName names a path of data, for the event type it was first seen in. only is true when the name fits that type alone.
func columnName(path []string, eventType string) (name string, only bool, err error) {
	parts := make([]string, len(path))
	for i, key := range path {
		if parts[i], err = snake(key); err != nil {
			return "", false, err
		}
	}
	name = strings.Join(parts, "_")
	if reservedWords[name] {
		entity, verb, _ := splitType(eventType)
		if what, ok := strings.CutSuffix(verb, "_changed"); ok { // opportunity.stage_changed: from → from_stage
			name, only = name+"_"+what, true
		} else { // lead.created: order → lead_order
			name = entity + "_" + name
		}
	}
	if !plainName.MatchString(name) {
		return "", false, fmt.Errorf("%.80q makes a column name that is longer than 63 characters or not plain", strings.Join(path, "."))
	}
	return name, only, nil
}

// TableName is the event table of an entity.
func TableName(entity string) (string, error) {
	name, err := snake(entity)
	if err != nil {
		return "", err
	}
	if name == "other" {
		return "", fmt.Errorf("the entity %q would take the table of events without one, %s", entity, OtherEvents)
	}
	if len(name) > 40 { // a type's views are named <entity>_<verb>, and a table is also a file name
		return "", fmt.Errorf("the entity %.80q is longer than 40 characters", entity)
	}
	return name + "_events", nil
}

// OtherEvents is the table for types without an entity, or with one that has no table.
const OtherEvents = "other_events"

// quote makes an identifier of a checked name.
func quote(name string) string {
	return "`" + strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), "`", "\\`") + "`"
}

// literal makes a string literal of any text.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`).Replace(s) + "'"
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// CheckDatabase refuses a name that needs quoting.
func CheckDatabase(name string) error {
	if !databaseName.MatchString(name) {
		return fmt.Errorf("database %q: use letters, digits and underscores, at most 63, not starting with a digit", name)
	}
	return nil
}

// reservedWords are the words of standard SQL, and of what BI tools speak, that a column cannot be called without quotes
// somewhere. A test asks ClickHouse about every name the built-in catalog makes.
var reservedWords = words(`
	all alter and any array as asc asof between by case cast check collate column constraint create cross current
	current_date current_time current_timestamp current_user database date default delete desc describe distinct
	drop else end except exists extract false fetch final first following for foreign format from full function global
	grant group having if ilike in index inner insert intersect interval into is join key last left like limit
	natural not null offset on or order outer over partition preceding prewhere primary range references replace
	right row rows sample select semi anti set settings some table then time timestamp to top totals trim true
	truncate union unique update use user using values view when where window with`)

func words(list string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		m[w] = true
	}
	return m
}
