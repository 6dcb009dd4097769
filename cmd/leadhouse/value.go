package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
		parse: func(t string) error {
			if t == "" {
				return errors.New("this is empty: leave the setting out, if the default is meant")
			}
			*dst = t
			return nil
		},
		show:  func() string { return *dst },
		isSet: func() bool { return *dst != "" },
	}
}

// name is text of one form.
func name(dst *string, form *regexp.Regexp, rule string) value {
	v := text(dst, "NAME")
	v.parse = func(t string) error {
		if !form.MatchString(t) {
			return fmt.Errorf("%q is not %s", t, rule)
		}
		*dst = t
		return nil
	}
	return v
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

// file is a path to a file, or nothing: none.
func file(dst *string) value {
	v := text(dst, "FILE")
	v.want = "a path"
	v.parse = func(t string) error { *dst = t; return nil }
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
	v := list(dst, "HOST:PORT,…", func(word string) error {
		if strings.ContainsAny(word, "@/") {
			return fmt.Errorf("host:port alone is wanted here, like %s", example) // without the text: a URL may hold a password
		}
		if host, _, _ := net.SplitHostPort(word); host == "" || !isAddress(word) {
			return fmt.Errorf("%q is not host:port, like %s", word, example)
		}
		return nil
	})
	v.want = "host:port, or several with commas between, like " + example
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
func list(dst *[]string, form string, check func(word string) error) value {
	return value{
		form: form, tags: []string{yamlText}, want: "a list", many: true,
		parse: func(t string) error {
			var words []string
			for w := range strings.SplitSeq(t, ",") {
				if w = strings.TrimSpace(w); w == "" {
					continue
				}
				if err := check(w); err != nil {
					return err
				}
				words = append(words, w)
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
	v := list(dst, strings.Join(words, ","), func(word string) error {
		if !slices.Contains(words, word) {
			return fmt.Errorf("%q is none of %s", word, strings.Join(words, ", "))
		}
		return nil
	})
	v.words = words
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
