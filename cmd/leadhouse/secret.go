package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A secret reaches the program by a variable, which has it, or by a file whose path is a setting like any other. **No flag
// takes it: the process list would show it to every user of the machine.** Nor does the --config file: that is copied,
// committed and printed.
type secret struct {
	name string // "kafka-password": the variable is LEADHOUSE_KAFKA_PASSWORD
	what string // for -h and for problems: "the password"
	form string // how it is written in the variable, where that differs from the file

	// use takes the secret found in the variable or the file. Its errors must not hold it.
	use func(text string) error

	found bool // use has been called
}

func (s *secret) variable() string { return variable(s.name) }

// secretLimit bounds a secret's file: more is another file by mistake, such as a device or a disk image.
const secretLimit = 64 << 10

// readSecret finds the secret: in the file that a flag names, else in the variable, else in the file that the --config
// file names. The variable and the variable for the file are of equal rank, so that both together are a problem.
func (s *setting) readSecret() (warnings []string, err error) {
	direct := strings.TrimRight(os.Getenv(s.secret.variable()), "\r\n") // Kubernetes makes variables of whole files
	switch {
	case s.bad:
		return nil, nil
	case s.source.level == fromFlag: // wins over both variables
	case direct != "" && os.Getenv(s.variable()) != "":
		s.bad = true
		return nil, fmt.Errorf("%s and %s are both set: which one counts? Unset the other", s.secret.variable(), s.variable())
	case direct != "":
		s.source = source{fromVariable, s.secret.variable()}
		if err := s.value.parse(""); err != nil { // the file is not read, not even later
			return nil, err
		}
		return nil, s.takeSecret(direct)
	}
	path := s.value.show()
	if path == "" {
		return nil, nil
	}
	content, warnings, err := readSecretFile(path)
	if err != nil {
		s.bad = true
		return nil, fmt.Errorf("%s: %w", s.where(), err)
	}
	for i := range warnings {
		warnings[i] = s.where() + ": " + warnings[i]
	}
	return warnings, s.takeSecret(content)
}

func (s *setting) takeSecret(text string) error {
	s.secret.found = true
	if err := s.secret.use(text); err != nil {
		s.bad = true
		return fmt.Errorf("%s: %w", s.where(), err)
	}
	return nil
}

// readSecretFile reads a file without the line end that editors and echo add. The errors leave the path out, because a
// secret that was given in place of a path would be shown.
func readSecretFile(path string) (content string, warnings []string, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, errors.New("there is no such file (the path of a file is wanted here, not the secret itself)")
	case err != nil:
		return "", nil, hidePath(err)
	case !info.Mode().IsRegular():
		return "", nil, errors.New("this is not a file")
	case info.Size() > secretLimit:
		return "", nil, fmt.Errorf("the file has %d bytes: no secret is that long", info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", nil, hidePath(err)
	}
	if content = strings.TrimRight(string(b), "\r\n"); content == "" {
		return "", nil, errors.New("the file is empty")
	}
	if info.Mode().Perm()&0o004 != 0 {
		warnings = append(warnings, "every user of this machine can read the file: chmod o-r it")
	}
	return content, warnings, nil
}

func hidePath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}

// into is the use of a secret that is nothing but kept.
func into(dst *string) func(string) error {
	return func(text string) error { *dst = text; return nil }
}
