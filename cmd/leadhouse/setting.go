package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// A setting is one thing that a user can say. It has one name in three spellings:
//
//	--kafka-brokers            a flag
//	LEADHOUSE_KAFKA_BROKERS    a variable
//	kafka-brokers              a key of the --config file
//
// **The flag wins over the variable, the variable over the file, the file over the default.** What is wrong in a place
// that loses is reported all the same. An empty variable counts as none, since that is how Compose and Kubernetes spell
// "not set".
//
// To urfave/cli it is a flag. That library would stop at the first value that it cannot read; so its only part in this is
// to split the command line, and the values are read later, all of them, with all that is wrong in one list.
type setting struct {
	name     string // "kafka-brokers"
	group    string // its heading in -h
	usage    string // whole sentences; the default, the variable and "Required" are added by -h
	value    value
	field    string   // what it is called in the Config of a package, whose errors name it so
	required bool     // in -h, and for problems
	isFile   bool     // its value is a path that is read at start
	noFile   bool     // it cannot stand in the --config file
	hidden   bool     // -h leaves it out
	secret   *secret  // the value is a file with a secret, or a variable has the secret itself
	given    []string // what stood on the command line
	source   source   // where the value in force is from
	bad      bool     // a problem has been reported
}

// source is a place where a value was found.
type source struct {
	level int    // which place; the higher wins
	place string // as a problem names it: "--kafka-brokers", "LEADHOUSE_KAFKA_BROKERS", "leadhouse.yaml:3: kafka-brokers"
}

const (
	fromDefault = iota
	fromFile
	fromVariable
	fromFlag
)

func (s *setting) flagName() string { return "--" + s.name }

func (s *setting) variable() string { return variable(s.name) }

func variable(name string) string {
	return "LEADHOUSE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// where names the setting in a problem: by the place its value is from or, when it has none, by all the places it could
// be given in.
func (s *setting) where() string {
	switch {
	case s.source.level != fromDefault:
		return s.source.place
	case s.noFile:
		return fmt.Sprintf("%s (or %s)", s.flagName(), s.variable())
	case s.secret != nil:
		return fmt.Sprintf("%s (or %s)", s.flagName(), s.secret.variable())
	}
	return fmt.Sprintf("%s (or %s, or %s in the --config file)", s.flagName(), s.variable(), s.name)
}

func (s *setting) present() bool { return s.value.isSet() || s.secret != nil && s.secret.found }

// wanted is what a problem says is missing.
func (s *setting) wanted() string {
	if s.secret != nil {
		return s.secret.what + ", in a file or in the variable"
	}
	return s.value.want
}

// set reads a text from one place. Places are read from the weakest to the strongest, so the last one stays.
func (s *setting) set(text string, from source) error {
	if err := s.value.parse(text); err != nil {
		s.bad = true
		return fmt.Errorf("%s: %w", from.place, err)
	}
	s.source = from
	return nil
}

// The rest makes it a cli.Flag, with what -h and completion ask of one.
var _ cli.DocGenerationFlag = (*setting)(nil)

func (s *setting) Apply(set *flag.FlagSet) error {
	set.Var(&collector{s}, s.name, s.usage)
	return nil
}

func (s *setting) Names() []string      { return []string{s.name} }
func (s *setting) IsSet() bool          { return len(s.given) > 0 }
func (s *setting) TakesValue() bool     { return !s.value.isToggle() }
func (s *setting) GetUsage() string     { return s.usage }
func (s *setting) GetValue() string     { return s.value.show() }
func (s *setting) GetEnvVars() []string { return []string{s.variable()} }
func (s *setting) GetCategory() string  { return s.group }
func (s *setting) IsVisible() bool      { return !s.hidden }

// GetDefaultText is asked for before any value is read, when the value still holds the default.
func (s *setting) GetDefaultText() string { return s.value.show() }

// collector is the setting as the flag package sees it: it takes every text, and judges none.
type collector struct{ s *setting }

func (c *collector) Set(text string) error { c.s.given = append(c.s.given, text); return nil }
func (c *collector) String() string        { return "" }
func (c *collector) IsBoolFlag() bool      { return c.s.value.isToggle() }
