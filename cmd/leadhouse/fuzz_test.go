package main_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	leadhouse "github.com/leadhouse/leadhouse/cmd/leadhouse"
)

// FuzzConfigFile: a --config file is taken as a whole or refused with a reason. What is taken is one YAML mapping that says
// nothing twice, and gives no setting that does not stand in it. What it says of secrets is never repeated.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte("kafka-brokers: [a:9092, b:9092]\nsink:\n  batch-age: 500ms\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		problems, given := leadhouse.ReadConfig(text)
		again, givenAgain := leadhouse.ReadConfig(text)
		if !slices.Equal(problems, again) || !slices.Equal(given, givenAgain) {
			t.Fatalf("read twice: %q %q, then %q %q", problems, given, again, givenAgain)
		}
		said, mapping := reference(text)
		for _, secret := range said.secrets {
			for _, p := range problems {
				if len(secret) >= 16 && !strings.Contains(secret, " ") && strings.Contains(p, secret) {
					t.Fatalf("the secret %q is repeated: %q", secret, p)
				}
			}
		}
		if len(problems) > 0 {
			return
		}
		if !mapping {
			t.Fatalf("taken, and it is no mapping of settings: gives %q", given)
		}
		for _, setting := range given {
			command, name, _ := strings.Cut(setting, "/")
			if !said.keys[name] && !said.keys[command+"/"+name] {
				t.Fatalf("%s is given by no key of it", setting)
			}
		}
	})
}

// spoken is what a YAML text says: its keys, those of a section with its name before them, and what stands under keys that
// are secrets' names.
type spoken struct {
	keys    map[string]bool
	secrets []string
}

// reference reads with the library's own decoder into plain maps, which refuses keys that stand twice. mapping: it is
// nothing, or one mapping, and no second document follows.
func reference(text []byte) (said spoken, mapping bool) {
	said.keys = map[string]bool{}
	var top any
	if err := yaml.Load(text, &top); err != nil {
		return said, len(strings.TrimSpace(string(text))) == 0
	}
	settings, isMap := top.(map[string]any)
	for key, value := range settings {
		said.keys[key] = true
		said.note(key, value)
		if section, ok := value.(map[string]any); ok {
			for inner, value := range section {
				said.keys[key+"/"+inner] = true
				said.note(inner, value)
			}
		}
	}
	return said, isMap || top == nil
}

func (s *spoken) note(key string, value any) {
	if text, ok := value.(string); ok && slices.Contains([]string{"webhook-secrets", "kafka-password", "clickhouse-password", "leadron-api-key"}, key) {
		s.secrets = append(s.secrets, text)
	}
}

// What the fuzzer's reference cannot see: text after the first document is not dropped without a word.
func TestASecondDocumentIsAProblem(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"log-level: info\n---\nlog-level: debug\n",
		"log-level: info\n...\nkafka-brokers: [a:9092]\n",
		"--- \n# nothing\n---\nlog-level: debug\n",
	} {
		if problems, given := leadhouse.ReadConfig([]byte(text)); len(problems) == 0 {
			t.Errorf("%q: got no problem, gives %q", text, given)
		}
	}
}

// A file may refer to itself (anchors): that costs what is written, not what it stands for.
func TestABombOfAnchorsIsSmall(t *testing.T) {
	t.Parallel()
	bomb, err := os.ReadFile("testdata/bomb.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if problems, _ := leadhouse.ReadConfig(bomb); len(problems) == 0 {
		t.Error("got no problem")
	}
}
