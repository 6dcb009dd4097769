package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Values that count something. The packages read 0 in a Config as the field's default; so 0 is either refused here, or
// written as something that is not 0.

// number is a whole number from 1 up. Every number here counts something of which none would be senseless, and the
// packages read 0 as their default.
func number(dst *int) value {
	v := value{
		form: "NUMBER", tags: []string{yamlNumber}, want: "a whole number from 1 up",
		show:  func() string { return strconv.Itoa(*dst) },
		isSet: func() bool { return *dst != 0 },
	}
	v.parse = func(t string) error {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = n
		return nil
	}
	return v
}

// size is a number of bytes: 1048576, 1024KiB or 1MiB.
func size(dst *int) value {
	v := value{
		form: "SIZE", tags: []string{yamlNumber, yamlText}, want: "a number of bytes, like 32MiB, 512KiB or 1048576",
		show:  func() string { return showSize(*dst) },
		isSet: func() bool { return *dst != 0 },
	}
	v.parse = func(t string) error {
		number, shift := t, 0
		for _, u := range sizeUnits {
			if n, ok := strings.CutSuffix(t, u.name); ok {
				number, shift = strings.TrimSpace(n), u.shift
				break
			}
		}
		n, err := strconv.ParseInt(number, 10, 32) // 2 GiB bytes and more fit no setting of ours
		if err != nil || n < 1 || n > (1<<31-1)>>shift {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = int(n) << shift
		return nil
	}
	return v
}

// The longest first, because each ends in the next.
var sizeUnits = []struct {
	name  string
	shift int
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

func showSize(n int) string {
	for _, u := range sizeUnits {
		if n>>u.shift<<u.shift == n && n>>u.shift > 0 {
			return strconv.Itoa(n>>u.shift) + u.name
		}
	}
	return strconv.Itoa(n)
}

// duration is a time with its unit, above 0: the packages read 0 as their default.
func duration(dst *time.Duration) value {
	v := value{
		form: "DURATION", tags: []string{yamlText}, want: "a time above 0 with its unit, like 500ms, 10s, 5m, 12h or 14d",
		show:  func() string { return showDuration(*dst) },
		isSet: func() bool { return *dst != 0 },
	}
	v.parse = func(t string) error {
		d, err := parseDuration(t)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = d
		return nil
	}
	return v
}

// delay is a duration that may be 0. It is then a nanosecond, because the packages read 0 as their default.
func delay(dst *time.Duration) value {
	v := duration(dst)
	v.tags, v.want = []string{yamlText, yamlNumber}, "0, or a time with its unit, like 500ms, 10s or 5m"
	v.parse = func(t string) error {
		d, err := parseDuration(t)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = max(d, time.Nanosecond)
		return nil
	}
	return v
}

const day = 24 * time.Hour

// parseDuration also knows whole days.
func parseDuration(t string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(t, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(days) * day, err
	}
	return time.ParseDuration(t)
}

func showDuration(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	t := d.String() // 1h0m0s
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}
