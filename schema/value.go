package schema

import (
	"time"
)

// parseTime reads an RFC 3339 time, strictly, and truncates it to milliseconds, which is what DateTime64(3) holds.
// The payload keeps the rest.
func parseTime(v span) (time.Time, bool) {
	if v.kind() != '"' {
		return time.Time{}, false
	}
	text, ok := unquote(v)
	var t time.Time
	if !ok || t.UnmarshalText([]byte(text)) != nil { // UnmarshalText is the strict one: time.Parse takes more
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Millisecond), true
}
