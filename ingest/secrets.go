package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Secret is one webhook secret and the ID it goes by in logs, metrics and record headers. There may be several at once,
// because rotating it at Leadron overwrites the old one while deliveries signed with it are still under way.
//
// It never shows its value: not through fmt, not through encoding/json, not through zerolog.
type Secret struct {
	ID    string // letters, digits, '.', '_' and '-', at most 64
	value string // used as it is, as UTF-8 bytes (Go SDK, auth.go)
}

// Format prints the ID alone, whatever the verb: %#v and %x would otherwise reach the value.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.ID+"=[hidden]") } //nolint:errcheck // nobody to tell

// MarshalText is the ID alone, for encoding/json and with it zerolog's Interface.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.ID + "=[hidden]"), nil }

// minSecret is the shortest secret taken: 128 bits, if its bytes were random.
const minSecret = 16

var secretID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ParseSecrets reads "id=value,id=value". A value may hold '=', but no comma: for those there is the file form.
// Errors name entries by their place only, because a secret may stand where an ID belongs.
func ParseSecrets(text string) ([]Secret, error) {
	return parseSecrets("entry", strings.Split(text, ","))
}

// ParseSecretFile reads the content of a Config.SecretFile: one id=value a line. Empty lines and lines that begin with #
// are skipped; line ends may be CRLF.
func ParseSecretFile(content []byte) ([]Secret, error) {
	if !utf8.Valid(content) {
		return nil, errors.New("not UTF-8 text")
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // Windows editors write one
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			line = ""
		}
		lines[i] = line
	}
	return parseSecrets("line", lines)
}

func parseSecrets(unit string, entries []string) ([]Secret, error) {
	var secrets []Secret
	var errs []error
	for i, entry := range entries {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		id, value, ok := strings.Cut(entry, "=")
		s := Secret{strings.TrimSpace(id), value}
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s %d is not id=value", unit, i+1))
			continue
		case !secretID.MatchString(s.ID):
			errs = append(errs, fmt.Errorf("%s %d: the ID is not 1 to 64 of letters, digits, '.', '_' and '-'", unit, i+1))
		}
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s %d: %w", unit, i+1, err))
		}
		for j, other := range secrets {
			if other.ID == s.ID || other.value == s.value {
				errs = append(errs, fmt.Errorf("%s %d repeats the ID or the value of secret %d", unit, i+1, j+1))
			}
		}
		secrets = append(secrets, s)
	}
	if len(secrets) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no secret in it"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return secrets, nil
}

// checkSecrets is for secrets that did not come from ParseSecrets, such as the zero Secret.
func checkSecrets(secrets []Secret) error {
	var errs []error
	for i, s := range secrets {
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("secret %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// check refuses a value that anybody could guess. The error never holds it.
func (s Secret) check() error {
	switch {
	case strings.TrimSpace(s.value) == "":
		return errors.New("the secret is blank")
	case strings.TrimSpace(s.value) != s.value:
		return errors.New("the secret has white space around it: was it copied with too much?")
	case len(s.value) < minSecret:
		return fmt.Errorf("the secret has %d bytes, fewer than %d", len(s.value), minSecret)
	case isPlaceholder(s.value):
		return errors.New("the secret is a placeholder, not a secret")
	}
	return nil
}

// placeholders are what stands in templates and examples where a secret belongs, without case and punctuation.
var placeholders = []string{
	"changeme", "changethis", "replaceme", "replacewith", "replacethis", "placeholder", "webhook", "leadron", "secret",
	"password", "example", "default", "insert", "your", "todo", "test", "here", "key", "super", "dummy",
}

// minDistinct: a value of fewer different bytes was typed, not drawn ("aaaa…", "abababab…").
const minDistinct = 5

// isPlaceholder: a template nobody filled in, a row of the keyboard or the alphabet, or words of placeholders with less
// than a secret's length around them. "leadron-webhook-" before a real secret is fine.
func isPlaceholder(value string) bool {
	for _, open := range []string{"${", "$(", "{{", "<", "%("} {
		if strings.HasPrefix(value, open) {
			return true
		}
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= utf8.RuneSelf {
			return r
		}
		return -1
	}, strings.ToLower(value))
	rest := plain
	for _, p := range placeholders {
		rest = strings.ReplaceAll(rest, p, "")
	}
	if rest != plain && len(rest) < minSecret {
		return true
	}
	distinct := map[byte]bool{}
	for i := range len(value) {
		distinct[value[i]] = true
	}
	row := func(s string) bool { return len(plain) >= minSecret && strings.Contains(s+s, plain) }
	return len(distinct) < minDistinct || row("0123456789abcdef") || row("1234567890") ||
		row("abcdefghijklmnopqrstuvwxyz0123456789") || row("qwertyuiopasdfghjklzxcvbnm")
}
