package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A value is the place in a configuration that a setting's text goes to, and the rules of that text. The place holds the
// default until then.
type value struct {
	form  string   // what stands after the flag in -h: NUMBER
	tags  []string // the types that it may have in the --config file, as YAML names them
	want  string   // what a problem says is wanted: "a whole number, like 6"
	words []string // all that it may be; for completion. nil: anything of its form
	many  bool     // a list: in the file also as YAML's; flags that are repeated add up

	parse func(text string) error
	show  func() string // "" when there is no default
	isSet func() bool   // for required settings: whether there is anything in it
}

// YAML's names of the types that a key may have.
const (
	yamlText    = "!!str"
	yamlNumber  = "!!int"
	yamlSwitch  = "!!bool"
	yamlNothing = "!!null"
)

// text is any text.
func text(dst *string, form string) value {
	return value{
		form: form, tags: []string{yamlText}, want: "text (in quotes, if it looks like a number)",
		parse: func(t string) error { *dst = t; return nil },
		show:  func() string { return *dst },
		isSet: func() bool { return *dst != "" },
	}
}

// oneOf is one of some words.
func oneOf(dst *string, words ...string) value {
	v := text(dst, strings.Join(words, "|"))
	v.words, v.want = words, "one of "+strings.Join(words, ", ")
	v.parse = func(t string) error {
		if !slices.Contains(words, t) {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = t
		return nil
	}
	return v
}

// file is a path to a file that must be there.
func file(dst *string) value {
	v := text(dst, "FILE")
	v.want = "a path"
	return v
}

// listen is the address of a listener: host:port, or :port for every interface.
func listen(dst *string) value {
	v := text(dst, "HOST:PORT")
	v.want = "host:port, or :port for all interfaces"
	v.parse = func(t string) error {
		if !isAddress(t) {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = t
		return nil
	}
	return v
}

// addresses are hosts with their ports, separated by commas; in the file also a list.
func addresses(dst *[]string, example string) value {
	v := list(dst, "HOST:PORT,…")
	v.want = "host:port, or several with commas between, like " + example
	split := v.parse
	v.parse = func(t string) error {
		before := *dst
		if err := split(t); err != nil {
			return err
		}
		for _, a := range *dst {
			if host, _, _ := net.SplitHostPort(a); host == "" || !isAddress(a) {
				*dst = before
				return fmt.Errorf("%q is not host:port, like %s", a, example)
			}
		}
		return nil
	}
	return v
}

func isAddress(t string) bool {
	_, port, err := net.SplitHostPort(t)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// list is words, separated by commas; in the file also a list.
func list(dst *[]string, form string) value {
	return value{
		form: form, tags: []string{yamlText}, want: "a list", many: true,
		parse: func(t string) error {
			var words []string
			for w := range strings.SplitSeq(t, ",") {
				if w = strings.TrimSpace(w); w != "" {
					words = append(words, w)
				}
			}
			if len(words) == 0 {
				return errors.New("there is nothing in it")
			}
			*dst = words
			return nil
		},
		show:  func() string { return strings.Join(*dst, ",") },
		isSet: func() bool { return len(*dst) > 0 },
	}
}

// someOf is a list of some words.
func someOf(dst *[]string, words ...string) value {
	v := list(dst, strings.Join(words, ","))
	v.words = words
	split := v.parse
	v.parse = func(t string) error {
		if err := split(t); err != nil {
			return err
		}
		for _, w := range *dst {
			if !slices.Contains(words, w) {
				return fmt.Errorf("%q is none of %s", w, strings.Join(words, ", "))
			}
		}
		return nil
	}
	return v
}

// address is the URL of an HTTP API.
func address(dst *string) value {
	v := text(dst, "URL")
	v.want = "a URL, like https://api.leadron.io"
	v.parse = func(t string) error {
		u, err := url.Parse(t)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("this is not %s", v.want) // without the text: a URL may hold a password
		}
		if u.User != nil {
			return errors.New("a URL with a password in it would show it everywhere: leave it out")
		}
		*dst = t
		return nil
	}
	return v
}

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

// toggle is true or false. The flag alone is true.
func toggle(dst *bool) value {
	v := value{
		tags: []string{yamlSwitch}, want: "true or false", words: []string{"true", "false"},
		show: func() string {
			if *dst {
				return "true"
			}
			return ""
		},
		isSet: func() bool { return *dst },
	}
	v.parse = func(t string) error {
		switch t {
		case "true", "1":
			*dst = true
		case "false", "0":
			*dst = false
		default:
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		return nil
	}
	return v
}

// isToggle: the flag takes no value.
func (v value) isToggle() bool { return v.form == "" }
