package local

import (
	"cmp"
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leadhouse/leadhouse/schema"
)

// An engine is what the server's process runs: an installed clickhouse, or libchdb within a copy of this binary. Exactly one of the two is set.
type engine struct {
	binary  string
	library string
}

// findEngine looks for the better one first: an installed server is the program that users run.
func findEngine(ctx context.Context, cfg ClickHouseConfig) (engine, error) {
	if cfg.Library != "" {
		return engine{library: cfg.Library}, nil
	}
	if binary, err := exec.LookPath(cmp.Or(cfg.Binary, "clickhouse")); err == nil {
		return engine{binary: binary}, nil
	} else if cfg.Binary != "" {
		return engine{}, fmt.Errorf("ClickHouse's binary: %w", err)
	}
	cache, err := cacheDir(cfg.CacheDir)
	if err != nil {
		return engine{}, err
	}
	lib, err := library(ctx, cache, cfg.Progress)
	if err != nil {
		return engine{}, fmt.Errorf(`no ClickHouse to start: there is no "clickhouse" on the PATH, and: %w
Ways out:
  - install ClickHouse, so that "clickhouse" is on the PATH;
  - or install Node.js, so that npm can fetch it as a library;
  - or use a server that you already run: make demo ARGS="--clickhouse-addr HOST:9000"`, err)
	}
	return engine{library: lib}, nil
}

// prepare writes the server's configuration and returns the command that runs it.
func (e engine) prepare(c *ClickHouse) ([]string, error) {
	data, conf := filepath.Join(c.cfg.Dir, "data"), filepath.Join(c.cfg.Dir, "conf")
	for _, dir := range []string{data, conf} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make ClickHouse's directories: %w", err)
		}
	}
	serverXML, usersXML := filepath.Join(conf, "config.xml"), filepath.Join(conf, "users.xml")
	if err := os.WriteFile(serverXML, []byte(c.serverConfig(data)), 0o644); err != nil {
		return nil, fmt.Errorf("write ClickHouse's configuration: %w", err)
	}
	if err := os.WriteFile(usersXML, []byte(c.usersConfig()), 0o644); err != nil {
		return nil, fmt.Errorf("write ClickHouse's users: %w", err)
	}
	if e.binary != "" {
		return []string{e.binary, "server", "--config-file=" + serverXML}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	return []string{
		self, clickhouseCommand, e.library,
		"--config-file=" + serverXML,
		"--path=" + data,
		"--listen_host=127.0.0.1",
		"--tcp_port=" + strconv.Itoa(c.direct),
		"--http_port=" + strconv.Itoa(c.http),
		"--log-level=" + c.logLevel(), // clickhouse-local does not read the configuration's
		// The last query reads standard input to its end: it ends in good order when we close the pipe, and when we die.
		"--query=SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT * FROM file('-', LineAsString, 'line String') FORMAT Null",
	}, nil
}

// serverConfig holds for both engines: what clickhouse-local takes as arguments stands here again for `clickhouse server`.
func (c *ClickHouse) serverConfig(data string) string {
	var limit string
	if c.cfg.MemoryLimit > 0 {
		limit = element("max_server_memory_usage", strconv.FormatInt(c.cfg.MemoryLimit, 10))
	}
	return "<clickhouse>\n" +
		"<logger>" + element("level", c.logLevel()) + element("log", c.cfg.LogFile) + "</logger>\n" +
		element("users_config", "users.xml") +
		element("access_control_path", data+"/access/") + // where CREATE USER keeps its users; clickhouse-local has no such place
		element("path", data+"/") +
		element("tmp_path", data+"/tmp/") +
		element("user_files_path", data+"/user_files/") +
		element("format_schema_path", data+"/format_schemas/") +
		element("listen_host", "127.0.0.1") +
		element("tcp_port", strconv.Itoa(c.direct)) +
		element("http_port", strconv.Itoa(c.http)) +
		"<macros>" + element("leadhouse_instance", c.id) + "</macros>\n" +
		limit + c.cfg.ServerXML + "\n</clickhouse>\n"
}

// usersConfig has two users, both without a password and from this machine only: default may do everything; bi is the user of
// `leadhouse schema bi-user`, who reads, and always sees each row once, whatever it sets.
func (c *ClickHouse) usersConfig() string {
	var profile strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Settings)) {
		profile.WriteString(element(name, c.cfg.Settings[name]))
	}
	user := func(name, grants string) string {
		return "<" + name + ">" +
			"<password></password><networks><ip>::1</ip><ip>127.0.0.1</ip></networks>" +
			element("profile", name) + element("quota", "default") + grants +
			"</" + name + ">\n"
	}
	var bi schema.BIUser
	grants := "<grants>" + element("query", "GRANT SELECT ON "+testDatabases+"*.*")
	for _, g := range bi.Grants() {
		grants += element("query", "GRANT "+g)
	}
	return "<clickhouse>\n" +
		"<profiles>\n<default>" + profile.String() + "</default>\n" +
		"<bi>" + profileXML(bi.Settings()) + "</bi>\n</profiles>\n" +
		"<quotas><default/></quotas>\n" +
		"<users>\n" + user("default", element("access_management", "1")) + user("bi", grants+"</grants>") + "</users>\n" +
		"</clickhouse>\n"
}

// profileXML is a profile as users.xml has it.
func profileXML(settings []schema.ProfileSetting) string {
	var values, constraints strings.Builder
	for _, s := range settings {
		values.WriteString(element(s.Name, s.Value))
		bounds := ""
		if s.Const {
			bounds = "<const/>"
		}
		if s.Min != "" {
			bounds += element("min", s.Min)
		}
		if s.Max != "" {
			bounds += element("max", s.Max)
		}
		if bounds != "" {
			fmt.Fprintf(&constraints, "<%[1]s>%[2]s</%[1]s>", s.Name, bounds)
		}
	}
	return values.String() + "<constraints>" + constraints.String() + "</constraints>"
}

func (c *ClickHouse) logLevel() string { return cmp.Or(c.cfg.LogLevel, "warning") }

// element is one XML element with its text escaped.
func element(name, text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return "<" + name + ">" + b.String() + "</" + name + ">\n"
}
