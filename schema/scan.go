package schema

import "fmt"

// A hand-written JSON scanner, because neither library does what the design needs. encoding/json folds the case of keys,
// lets the last duplicate win and turns invalid UTF-8 into U+FFFD, so that two event IDs can become one; it also takes
// half of the whole sink's CPU. jsontext of json/v2 refuses a lone surrogate anywhere, which would turn one odd field
// into a dead event. FuzzDecode holds it against encoding/json: both accept the same texts.
//
// Rules:
//   - RFC 8259 to the letter: no trailing commas, no bare control characters, no leading zeros.
//   - It never recurses, so nesting costs one byte a level and not a stack frame: a body of 1 MiB of '[' is only slow.
//   - It takes UTF-8 for granted: Decode checks the whole body first.
//   - Nothing is copied: a span aliases the body.

// maxDepth is how deep a value of data may nest before its field counts as invalid. Leadron's deepest example is 2.
const maxDepth = 64

// span is one scanned value: its bytes, quotes included, and what was noticed on the way.
type span struct {
	raw     []byte
	escaped bool // a string with at least one backslash
	deep    bool // nests deeper than maxDepth
}

// kind is the value's first byte: '{', '[', '"', 't', 'f', 'n', or '-' for every number.
func (s span) kind() byte {
	if c := s.raw[0]; c < '0' || c > '9' {
		return c
	}
	return '-'
}

// scanner walks one JSON text. The zero value with b set is ready.
type scanner struct {
	b     []byte
	i     int
	stack []byte // open brackets of value, kept for their memory
}

// syntaxError says where the text stops being JSON, never what stands there.
type syntaxError struct {
	at   int
	want string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: expected %s", e.at, e.want) }

func (s *scanner) fail(want string) error { return &syntaxError{s.i, want} }

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// take skips space and consumes c.
func (s *scanner) take(c byte, want string) error {
	if s.peek() != c {
		return s.fail(want)
	}
	s.i++
	return nil
}

// object calls member for each member of an object, from its '{' to its '}'. member must consume the value.
func (s *scanner) object(member func(key span) error) error {
	if err := s.take('{', "an object"); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		s.space()
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':', "a colon"); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return nil
		default:
			return s.fail("a comma or the object's end")
		}
	}
}

// array calls item for each item of an array. item must consume the value.
func (s *scanner) array(item func() error) error {
	if err := s.take('[', "an array"); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.fail("a comma or the array's end")
		}
	}
}

// text consumes a string.
func (s *scanner) text() (span, error) {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return span{}, s.fail("a string")
	}
	start, b := s.i, s.b
	escaped := false
	for i := start + 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return span{raw: b[start:s.i], escaped: escaped}, nil
		case c < 0x20:
			s.i = i
			return span{}, s.fail("no control character in a string")
		case c == '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				s.i = i
				return span{}, s.fail("a known escape")
			}
			i += n - 1
		}
	}
	s.i = len(b)
	return span{}, s.fail("the string's end")
}

// escapeLen is the length of the escape that b starts with, 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

// value consumes any value and returns it whole.
func (s *scanner) value() (span, error) {
	s.space()
	start := s.i
	switch {
	case s.i >= len(s.b):
		return span{}, s.fail("a value")
	case s.b[s.i] == '"':
		return s.text()
	case s.b[s.i] == '{' || s.b[s.i] == '[':
		deep, err := s.container()
		return span{raw: s.b[start:s.i], deep: deep}, err
	}
	return s.scalar()
}

// scalar consumes a number or a literal.
func (s *scanner) scalar() (span, error) {
	start := s.i
	switch c := s.b[s.i]; {
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || (c >= '0' && c <= '9'):
		if err := s.number(); err != nil {
			return span{}, err
		}
		return span{raw: s.b[start:s.i]}, nil
	}
	return span{}, s.fail("a value")
}

func (s *scanner) literal(word string) (span, error) {
	end := s.i + len(word)
	if end > len(s.b) || string(s.b[s.i:end]) != word {
		return span{}, s.fail("a value")
	}
	start := s.i
	s.i = end
	return span{raw: s.b[start:end]}, nil
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

func (s *scanner) number() error {
	if s.at('-') {
		s.i++
	}
	if s.at('0') {
		s.i++
	} else if !s.digits() {
		return s.fail("a digit")
	}
	if s.at('.') {
		s.i++
		if !s.digits() {
			return s.fail("a digit")
		}
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		if !s.digits() {
			return s.fail("a digit")
		}
	}
	return nil
}

// container consumes an object or array without recursion; the stack holds the brackets still open.
func (s *scanner) container() (deep bool, err error) {
	s.stack = s.stack[:0]
	for {
		// A value is due, or the end of an empty container.
		switch c := s.peek(); c {
		case '{', '[':
			s.stack = append(s.stack, c)
			deep = deep || len(s.stack) > maxDepth
			s.i++
			if s.peek() == closing(c) {
				break // empty: closed below
			}
			if c == '{' {
				if err := s.memberKey(); err != nil {
					return deep, err
				}
			}
			continue
		case '"':
			if _, err := s.text(); err != nil {
				return deep, err
			}
		case 0:
			return deep, s.fail("a value")
		default:
			if _, err := s.scalar(); err != nil {
				return deep, err
			}
		}
		if done, err := s.afterValue(); done || err != nil {
			return deep, err
		}
	}
}

// afterValue consumes closing brackets and at most one comma, and the key behind it. done when the outermost has closed.
func (s *scanner) afterValue() (done bool, err error) {
	for {
		open := s.stack[len(s.stack)-1]
		switch s.peek() {
		case closing(open):
			s.i++
			s.stack = s.stack[:len(s.stack)-1]
			if len(s.stack) == 0 {
				return true, nil
			}
		case ',':
			s.i++
			if open == '{' {
				return false, s.memberKey()
			}
			return false, nil
		default:
			return false, s.fail("a comma or a closing bracket")
		}
	}
}

func (s *scanner) memberKey() error {
	s.space()
	if _, err := s.text(); err != nil {
		return err
	}
	return s.take(':', "a colon")
}

func closing(open byte) byte {
	if open == '{' {
		return '}'
	}
	return ']'
}
