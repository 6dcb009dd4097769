package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/ingest"
)

func TestSecretsAreParsed(t *testing.T) {
	t.Parallel()
	file := func(text string) ([]ingest.Secret, error) { return ingest.ParseSecretFile([]byte(text)) }
	for _, c := range []struct {
		name  string
		parse func(string) ([]ingest.Secret, error)
		text  string
		want  []string // id=value
	}{
		{"one", ingest.ParseSecrets, "a=8vM2qXz7Lr4TnWc1", []string{"a=8vM2qXz7Lr4TnWc1"}},
		{"two, space, trailing comma", ingest.ParseSecrets, "a=8vM2qXz7Lr4TnWc1, b.2-x_=Wq81mPz0LdYx7Kt2,", []string{"a=8vM2qXz7Lr4TnWc1", "b.2-x_=Wq81mPz0LdYx7Kt2"}},
		{"= in the value", ingest.ParseSecrets, "a=c2Vj=cmV0LWtleQ==", []string{"a=c2Vj=cmV0LWtleQ=="}},
		{"not ASCII", ingest.ParseSecrets, "a=пароль-Ключ-7Zq", []string{"a=пароль-Ключ-7Zq"}},
		{"punctuation", ingest.ParseSecrets, "a=!@#$%^&*()_+-[]{}", []string{"a=!@#$%^&*()_+-[]{}"}},
		{"words before a real secret", ingest.ParseSecrets, "a=leadron-webhook-secret-8vM2qXz7Lr4TnWc1", []string{"a=leadron-webhook-secret-8vM2qXz7Lr4TnWc1"}},
		{"file", file, "# old one, until March\na=8vM2qXz7Lr4TnWc1\n\n  # new\nb=Wq81mPz0LdYx7Kt2\n", []string{"a=8vM2qXz7Lr4TnWc1", "b=Wq81mPz0LdYx7Kt2"}},
		{"file, CRLF, byte order mark", file, "\ufeffa=8vM2qXz7Lr4TnWc1\r\n# x\r\nb=Wq81mPz0LdYx7Kt2\r\n", []string{"a=8vM2qXz7Lr4TnWc1", "b=Wq81mPz0LdYx7Kt2"}},
		{"file, comma and # in the value, no last line end", file, "a=8vM2,Xz7#r4TnWc1", []string{"a=8vM2,Xz7#r4TnWc1"}},
	} {
		got, err := c.parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var text []string
		for _, s := range got {
			text = append(text, s.ID+"="+s.Value())
		}
		if strings.Join(text, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}

func TestEmptyShortBlankAndPlaceholderSecretsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", ",", "8vM2qXz7Lr4TnWc1", "8vM2qXz7Lr4TnWc1=", "a=", "a=                ", "a=short", "a=fifteen-bytes-x",
		"a= 8vM2qXz7Lr4TnWc1", "a=8vM2qXz7Lr4TnWc1 ", "=8vM2qXz7Lr4TnWc1", "a b=8vM2qXz7Lr4TnWc1", "ä=8vM2qXz7Lr4TnWc1",
		strings.Repeat("i", 65) + "=8vM2qXz7Lr4TnWc1",
		"a=8vM2qXz7Lr4TnWc1,a=Wq81mPz0LdYx7Kt2", "a=8vM2qXz7Lr4TnWc1,b=8vM2qXz7Lr4TnWc1",
		"a=changemechangeme", "a=CHANGE_ME_CHANGE_ME", "a=your-webhook-secret", "a=your_webhook_secret_here", "a=<your webhook secret>",
		"a=${LEADRON_WEBHOOK_SECRET}", "a={{ .Values.webhookSecret }}", "a=replace-with-your-secret", "a=supersecretsupersecret",
		"a=leadron-webhook-secret", "a=passwordpassword", "a=example-webhook-secret", "a=aaaaaaaaaaaaaaaaaaaa", "a=0000000000000000",
		"a=abababababababababab", "a=0123456789abcdef", "a=1234567890123456", "a=abcdefghijklmnopqrstuvwxyz", "a=qwertyuiopasdfghjkl", "a=--------------------",
	} {
		if got, err := ingest.ParseSecrets(text); err == nil {
			t.Errorf("%q: got %d secrets, want an error", text, len(got))
		}
	}
}

func TestAllProblemsOfASecretFileAreNamedByLineWithoutItsText(t *testing.T) {
	t.Parallel()
	const hidden = "tOpHiDdEn"
	_, err := ingest.ParseSecretFile([]byte("# fine\n" + hidden + "\na=" + hidden + "\n" + hidden + "%=8vM2qXz7Lr4TnWc1\n"))
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"line 2", "line 3", "line 4"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), hidden) {
		t.Errorf("error shows the file's text: %v", err)
	}
}

func TestSecretNeverPrintsItself(t *testing.T) {
	t.Parallel()
	s := ingest.NewSecret("id", "8vM2qXz7Lr4TnWc1")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", &s)
		fmt.Fprintf(&out, verb+"\n", []ingest.Secret{s})
		fmt.Fprintf(&out, verb+"\n", ingest.Config{Secrets: []ingest.Secret{s}})
	}
	fmt.Fprintln(&out, s, []any{s})
	b, err := json.Marshal(map[string]any{"s": s, "list": []ingest.Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	log := zerolog.New(&out)
	log.Info().Interface("s", s).Any("list", []ingest.Secret{s}).Msg("")
	for _, form := range []string{s.Value(), fmt.Sprintf("%x", s.Value()), fmt.Sprintf("%X", s.Value())} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows as %s:\n%s", form, &out)
		}
	}
	if !strings.Contains(out.String(), "id=[hidden]") {
		t.Errorf("the ID does not show:\n%s", &out)
	}
}
