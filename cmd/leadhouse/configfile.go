package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The --config file is one YAML mapping of settings, for one command or for all:
//
//	kafka-brokers: [kafka-1:9092, kafka-2:9092]   # for every command that has this setting
//	batch-age: 500ms
//	sink:                                         # for the sink alone; wins over what stands outside
//	  admin-addr: :9191
//
// All of it is checked whichever command reads it, so that a mistake shows on the first start and not on the last: a key
// that no command has, a key that stands twice, a value of the wrong type, a secret. urfave/cli's altsrc does not serve
// here: it knows neither unknown keys, nor lines, nor more than the first problem.

// pair is one key and its value in the file.
type pair struct {
	section, key string // section: the command it is for, "" for all
	value        *yaml.Node
	place        string // "leadhouse.yaml:3: kafka-brokers"
}

// readConfigFile reads the settings of all commands from a file.
func readConfigFile(path string, all []*command) []error {
	content, err := os.ReadFile(path)
	if err != nil {
		return []error{fmt.Errorf("read the --config file: %w", err)}
	}
	pairs, errs := parseConfigFile(path, content, all)
	for _, p := range pairs {
		if err := p.apply(all); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// parseConfigFile splits the file into pairs: first those for every command, then those for one, which win.
func parseConfigFile(path string, content []byte, all []*command) (pairs []pair, errs []error) {
	if strings.TrimSpace(string(content)) == "" {
		return nil, nil
	}
	var document yaml.Node
	if err := yaml.Load(content, &document); err != nil {
		return nil, []error{yamlProblem(path, err)}
	}
	if len(document.Content) != 1 {
		return nil, nil // nothing but comments
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, []error{fmt.Errorf("%s:%d: this is not a list of settings, each as key: value", path, top.Line)}
	}
	common, errs := mapping(path, "", top)
	var special []pair
	pairs = slices.DeleteFunc(common, func(p pair) bool {
		isSection := slices.ContainsFunc(all, func(c *command) bool { return c.name == p.key && len(c.settings) > 0 })
		switch {
		case !isSection:
		case p.value.Kind != yaml.MappingNode:
			errs = append(errs, fmt.Errorf("%s: here stand the settings of one command, each as key: value", p.place))
		default:
			inner, problems := mapping(path, p.key, p.value)
			special, errs = append(special, inner...), append(errs, problems...)
		}
		return isSection
	})
	return append(pairs, special...), errs
}

// mapping lists the pairs of a YAML mapping. A key that stands twice is a problem: one of the two was meant.
func mapping(path, section string, m *yaml.Node) (pairs []pair, errs []error) {
	seen := map[string]int{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		p := pair{section: section, key: key.Value, value: value, place: fmt.Sprintf("%s:%d: %s", path, key.Line, key.Value)}
		if first, twice := seen[key.Value]; twice {
			errs = append(errs, fmt.Errorf("%s stands there twice, first in line %d", p.place, first))
			continue
		}
		seen[key.Value] = key.Line
		pairs = append(pairs, p)
	}
	return pairs, errs
}

// apply gives the value to every setting that the pair is for.
func (p pair) apply(all []*command) error {
	var targets []*setting
	for _, c := range all {
		if p.section == "" || p.section == c.name {
			targets = append(targets, c.settings.named(p.key)...)
		}
	}
	if len(targets) == 0 || targets[0].noFile {
		return fmt.Errorf("%s: %w", p.place, p.unknown(all, targets))
	}
	text, err := p.text(targets[0])
	if err != nil {
		for _, s := range targets {
			s.bad = true
		}
		return fmt.Errorf("%s: %w", p.place, err)
	}
	for _, s := range targets {
		err = s.set(text, source{fromFile, p.place})
	}
	return err // settings of one name read alike: one error stands for all
}

// text checks the type of a value and gives its text as a flag would have it.
func (p pair) text(s *setting) (string, error) {
	n := p.value
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if slices.Contains(s.value.tags, n.ShortTag()) {
			return n.Value, nil
		}
	case yaml.SequenceNode:
		if s.value.many {
			return sequence(n, s)
		}
	default: // nothing takes a mapping
	}
	return "", fmt.Errorf("want %s, and this is %s", s.value.want, typeName(n))
}

func sequence(n *yaml.Node, s *setting) (string, error) {
	words := make([]string, len(n.Content))
	for i, item := range n.Content {
		if item.Kind != yaml.ScalarNode || !slices.Contains(s.value.tags, item.ShortTag()) {
			return "", fmt.Errorf("want %s, and entry %d is %s", s.value.want, i+1, typeName(item))
		}
		words[i] = item.Value
	}
	return strings.Join(words, ","), nil
}

func typeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default: // a scalar, by its tag
	}
	switch n.ShortTag() {
	case yamlText:
		return "text"
	case yamlNumber:
		return "a number"
	case "!!float":
		return "a fraction"
	case yamlSwitch:
		return "a true or false"
	case yamlNothing:
		return "nothing"
	}
	return n.ShortTag()
}

// unknown says why a key cannot stand where it does, and what could. It never repeats the value.
func (p pair) unknown(all []*command, found []*setting) error {
	if len(found) > 0 {
		return fmt.Errorf("cannot be set in this file: use %s or %s", found[0].flagName(), found[0].variable())
	}
	for _, c := range all {
		for _, s := range c.settings {
			if s.secret != nil && p.key == s.secret.name {
				return fmt.Errorf("a secret does not belong in this file: name a file that has it as %s, or use the variable %s", s.name, s.secret.variable())
			}
		}
	}
	if p.section != "" {
		if slices.ContainsFunc(all, func(c *command) bool { return len(c.settings.named(p.key)) > 0 }) {
			return fmt.Errorf("is not a setting of %s", p.section)
		}
	}
	names := map[string]bool{}
	for _, c := range all {
		if p.section == "" || p.section == c.name {
			for _, s := range c.settings {
				names[s.name] = !s.noFile
			}
		}
	}
	return errors.New("no such setting" + didYouMean(p.key, names))
}

// yamlProblem is a file that is not YAML, with its line where the library says one.
func yamlProblem(path string, err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok && e.Mark.Line > 0 {
		return fmt.Errorf("%s:%d: not YAML: %s", path, e.Mark.Line, e.Message)
	}
	return fmt.Errorf("%s: not YAML: %w", path, err)
}
