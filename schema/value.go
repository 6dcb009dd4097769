package schema

import (
	"strings"
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
	// UnmarshalText is stricter than time.Parse, but like it takes a comma before the fraction, which RFC 3339 does not.
	if !ok || strings.IndexByte(text, ',') >= 0 || t.UnmarshalText([]byte(text)) != nil {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Millisecond), true
}
