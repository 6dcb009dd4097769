package schema

import (
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Typed values: what fits a column, exactly. ok is false where it does not fit: the cell is NULL then, the field's name
// stands in _invalid_fields, and payload keeps the value. JSON null never comes here.

// parseText reads a string. A lone surrogate is no text.
func parseText(v span) (string, bool) {
	if v.kind() != '"' {
		return "", false
	}
	return unquote(v)
}

// parseMixed reads anything: strings as they are, the rest as its JSON text.
func parseMixed(v span) (string, bool) {
	if v.kind() == '"' {
		return unquote(v)
	}
	return alias(v.raw), !v.deep
}

// parseTime reads an RFC 3339 time, strictly, and truncates it to milliseconds, which is what DateTime64(3) holds.
func parseTime(v span) (time.Time, bool) {
	text, ok := parseText(v)
	if !ok || !isStrict(text) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, false
	}
	t = t.UTC().Truncate(time.Millisecond)
	return t, t.Year() >= 1900 && t.Year() <= maxYear // DateTime64 begins in 1900
}

// isStrict: without what time.Parse takes for RFC 3339 and is none: an hour of one digit, a comma before the fraction, an
// offset of 24 hours or 60 minutes (golang/go#54580).
func isStrict(text string) bool {
	n := len(text)
	if n < len("2006-01-02T15:04:05Z") || text[len("2006-01-02T15")] != ':' || strings.IndexByte(text, ',') >= 0 {
		return false
	}
	return text[n-1] == 'Z' || text[n-len("23:59"):n-len(":59")] <= "23" && text[n-len("59"):] <= "59"
}

func parseBool(v span) (bool, bool) { return v.kind() == 't', v.kind() == 't' || v.kind() == 'f' }

const (
	decimalDigits   = 38  // of Decimal(38, 9)
	decimalScale    = 9   // digits behind its point
	maxNumberLength = 128 // characters of a number that are looked at: 10 000 zeros in front of a 1 are an attack, not money
)

// parseNumber reads a number that Decimal(38, 9) holds exactly. Nothing is rounded: trailing zeros are no digits, a
// tenth decimal does not fit.
func parseNumber(v span) (decimal.Decimal, bool) {
	if v.kind() != '-' || len(v.raw) > maxNumberLength {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(alias(v.raw))
	if err != nil {
		return decimal.Decimal{}, false
	}
	if d.IsZero() {
		return decimal.Zero, true
	}
	// Bound the exponent before anything is scaled by it: 1e2000000000 is 12 characters and would be 800 MB of digits.
	exponent := int64(d.Exponent())
	if exponent < -2*maxNumberLength || int64(d.NumDigits())+exponent > decimalDigits-decimalScale {
		return decimal.Decimal{}, false
	}
	return d, d.Truncate(decimalScale).Equal(d)
}

// parseArray reads an array's items: strings as they are, the rest as its JSON text.
func parseArray(v span) ([]string, bool) {
	if v.kind() != '[' || v.deep {
		return nil, false
	}
	var items []string
	ok := true
	s := scanner{b: v.raw}
	err := s.array(func() error {
		item, err := s.value()
		if err == nil {
			text, fits := parseMixed(item)
			ok = ok && fits
			items = append(items, text)
		}
		return err
	})
	return items, ok && err == nil
}

// parseObject reads an object's members: strings as they are, the rest as its JSON text. A key that stands there twice
// makes the object invalid: nobody can tell which was meant.
func parseObject(v span) (members, bool) {
	if v.kind() != '{' || v.deep {
		return nil, false
	}
	var all members
	ok := true
	s := scanner{b: v.raw}
	err := s.object(func(key span) error {
		value, err := s.value()
		if err != nil {
			return err
		}
		name, nameFits := unquote(key)
		text, textFits := parseMixed(value)
		ok = ok && nameFits && textFits
		all = append(all, member{name, text})
		return nil
	})
	return all, ok && err == nil && all.distinct()
}
