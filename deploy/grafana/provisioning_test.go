package grafana_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// read decodes a file into a structure that knows all its fields, with the environment put in as Grafana does it: $NAME, in
// values alone.
func read(t *testing.T, file string, env map[string]string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expanded := regexp.MustCompile(`\$([A-Z_]+)`).ReplaceAllStringFunc(string(text), func(name string) string {
		value, known := env[name[1:]]
		if !known {
			t.Errorf("%s asks for %s", file, name)
		}
		return value
	})
	decoder := yaml.NewDecoder(strings.NewReader(expanded))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// The fields of the plugin's settings, pkg/plugin/settings.go; of which port and secure may come as text.
func TestTheDataSourceIsOfTheEnvironment(t *testing.T) {
	t.Parallel()
	var got struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access string
			Editable                bool
			JSONData                struct {
				Host, Port, Protocol, Secure, Username string
				DefaultDatabase                        string `yaml:"defaultDatabase"`
			} `yaml:"jsonData"`
			SecureJSONData struct{ Password string } `yaml:"secureJsonData"`
		}
	}
	read(t, "provisioning/datasources/leadhouse.yaml", map[string]string{
		"CLICKHOUSE_HOST": "warehouse", "CLICKHOUSE_PORT": "9440", "CLICKHOUSE_SECURE": "true",
		"CLICKHOUSE_USERNAME": "bi", "CLICKHOUSE_PASSWORD": "secret", "CLICKHOUSE_DATABASE": "leadron",
	}, &got)
	if len(got.Datasources) != 1 {
		t.Fatalf("got %+v", got)
	}
	s := got.Datasources[0]
	d := s.JSONData
	if values := []string{d.Host, d.Port, d.Secure, d.Username, s.SecureJSONData.Password, d.DefaultDatabase}; !slices.Equal(values, []string{"warehouse", "9440", "true", "bi", "secret", "leadron"}) {
		t.Errorf("got %q", values)
	}
	if s.Type != plugin || got.APIVersion != 1 {
		t.Errorf("type %s, version %d", s.Type, got.APIVersion)
	}
	for _, d := range dashboards(t) { // they choose it as it is provisioned
		for _, v := range d.Templating.List {
			if v.Type == "datasource" && (v.Query != plugin || v.Current.Value != any(s.UID)) {
				t.Errorf("%s: the variable %s chooses %v of %s, the UID is %s", d.file, v.Name, v.Current.Value, v.Query, s.UID)
			}
		}
	}
}

func TestTheDashboardsAreFoundWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	var got struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type, Folder    string
			DisableDeletion       bool `yaml:"disableDeletion"`
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	read(t, "provisioning/dashboards/leadhouse.yaml", map[string]string{"LEADHOUSE_DASHBOARDS": "/etc/leadhouse"}, &got)
	if len(got.Providers) != 1 || got.Providers[0].Options.Path != "/etc/leadhouse" || got.Providers[0].Type != "file" {
		t.Errorf("got %+v", got)
	}
}
