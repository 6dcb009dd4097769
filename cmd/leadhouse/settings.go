package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// settings are those of one command, in the order of -h.
type settings []*setting

// named are the settings of this name: one or none.
func (ss settings) named(name string) settings {
	for i, s := range ss {
		if s.name == name {
			return ss[i : i+1]
		}
	}
	return nil
}

// read gives every setting its value. The file has been read already: variables and flags come on top of it. It returns
// every problem it meets, and warnings about what is no problem yet.
func (ss settings) read() (warnings []string, errs []error) {
	for _, s := range ss {
		if text := os.Getenv(s.variable()); text != "" {
			errs = append(errs, s.set(text, source{fromVariable, s.variable()}))
		}
		if len(s.given) > 0 {
			errs = append(errs, s.set(s.commandLine(), source{fromFlag, s.flagName()}))
		}
	}
	for _, s := range ss {
		switch {
		case s.secret != nil:
			warning, err := s.readSecret()
			warnings, errs = append(warnings, warning...), append(errs, err)
		case s.isFile:
			errs = append(errs, s.checkFile())
		}
		if s.required && !s.bad && !s.present() {
			s.bad = true
			errs = append(errs, fmt.Errorf("%s is required: %s", s.where(), s.wanted()))
		}
	}
	return warnings, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// commandLine is what was given there. The last flag wins, as in every program; a list adds up.
func (s *setting) commandLine() string {
	if s.value.many {
		return strings.Join(s.given, ",")
	}
	return s.given[len(s.given)-1]
}

// checkFile opens the file: that it is missing should be known now, with all other problems.
func (s *setting) checkFile() error {
	path := s.value.show()
	if path == "" || s.bad {
		return nil
	}
	f, err := os.Open(path)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		s.bad = true
		return fmt.Errorf("%s: %w", s.where(), err)
	}
	return nil
}

// rename turns the errors of a package's Config into problems of settings: each field that stands for a setting is
// replaced by the place the setting's value is from. Errors about settings that are known to be wrong already are
// dropped: the package saw only their defaults. The package's name, which may stand before each, goes too.
func (ss settings) rename(pkg string, err error) (errs []error) {
	byField := map[string]*setting{}
	for _, s := range ss {
		if s.field != "" {
			byField[s.field] = s
		}
	}
	if len(byField) == 0 {
		return flatten(err)
	}
	// The longest first, so that MaxInFlightBytes is not taken for MaxInFlight.
	fields := slices.SortedFunc(maps.Keys(byField), func(a, b string) int { return len(b) - len(a) })
	for i, f := range fields {
		fields[i] = regexp.QuoteMeta(f)
	}
	names := regexp.MustCompile(`\b(?:` + strings.Join(fields, "|") + `)\b`)
	for _, e := range flatten(err) {
		known, first := false, true
		text := names.ReplaceAllStringFunc(strings.TrimPrefix(e.Error(), pkg+": "), func(field string) string {
			s := byField[field]
			known = known || s.bad
			if first {
				first = false
				return s.where()
			}
			return s.flagName()
		})
		if !known {
			errs = append(errs, errors.New(text))
		}
	}
	return errs
}

// flatten takes apart what errors.Join put together, however deep: one problem an error.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil && len(flatten(inner)) > 1 {
		return flatten(inner) // the text around a list of errors is the package's name
	}
	return []error{err}
}

// strangers are the variables of our prefix that no command knows: misspelt, most likely, and otherwise without any sign.
// What Kubernetes adds for a service called leadhouse is left out.
func strangers(environ []string, all []*command) (warnings []string) {
	known := map[string]bool{}
	for _, c := range all {
		for _, s := range c.settings {
			known[s.variable()] = true
			if s.secret != nil {
				known[s.secret.variable()] = true
			}
		}
	}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if value != "" && strings.HasPrefix(name, variable("")) && !known[name] && !serviceLink.MatchString(name) {
			warnings = append(warnings, name+" is set, and is no setting"+didYouMean(name, known))
		}
	}
	return warnings
}

// serviceLink is a variable that Kubernetes makes from a Service: <NAME>_SERVICE_HOST, <NAME>_PORT_8080_TCP_ADDR, …
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT$|_PORT_[0-9]+_(TCP|UDP)(_(ADDR|PORT|PROTO))?$`)

// alike is the Jaro-Winkler similarity from which on a name is worth suggesting: one letter off in a short name is above.
const alike = 0.87

// didYouMean suggests the candidate most like the name, or nothing.
func didYouMean(name string, candidates map[string]bool) string {
	best, most := "", alike
	for _, c := range slices.Sorted(maps.Keys(candidates)) {
		// The library's usual values: prefixes of up to 4 letters count from a similarity of 0.7 on.
		if a := smetrics.JaroWinkler(c, name, 0.7, 4); candidates[c] && a > most {
			best, most = c, a
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}
