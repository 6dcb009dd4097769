//go:build bi

package superset_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/bi"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// A server is a Superset of this test: its own settings, users and secrets, and no dashboard yet.
type server struct {
	url, user, password string

	program string // the command superset
	env     []string
}

// startServer makes a Superset as its manual says, and returns when it answers.
func startServer(t *testing.T) *server {
	t.Helper()
	home := t.TempDir()
	config, err := filepath.Abs("testdata/superset_config.py")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{user: "admin", password: rand.Text(), program: filepath.Join(bi.Venv(t, "requirements.txt"), "bin", "superset")}
	s.env = []string{
		"SUPERSET_HOME=" + home, "SUPERSET_CONFIG_PATH=" + config, "SUPERSET_SECRET_KEY=" + rand.Text() + rand.Text(),
		"FLASK_APP=superset", "PYTHONWARNINGS=ignore",
	}
	s.run(t, "db", "upgrade")
	s.run(t, "fab", "create-admin", "--username", s.user, "--password", s.password,
		"--firstname", "Superset", "--lastname", "Admin", "--email", "test@example.com")
	s.run(t, "init")
	s.serve(t, filepath.Join(home, "superset.log"))
	return s
}

// run is a command of Superset's, which must succeed.
func (s *server) run(t *testing.T, args ...string) {
	t.Helper()
	bi.Output(t, t.TempDir(), s.env, s.program, args...)
}

func (s *server) serve(t *testing.T, log string) {
	t.Helper()
	port, err := local.Port(0, "Superset", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://127.0.0.1:" + strconv.Itoa(port)
	program, err := local.StartProgram(local.ProgramConfig{
		Path: s.program, Args: []string{"run", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--with-threads"},
		Env: append(os.Environ(), s.env...), LogFile: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		program.Stop()
		if printed, err := program.Log(); t.Failed() && err == nil {
			t.Logf("Superset printed, at its end:\n%s", printed[max(0, len(printed)-4000):])
		}
	})
	if err := s.answers(t.Context(), program); err != nil {
		t.Fatal(err)
	}
}

// answers returns when it does: it has no other way to say that it is ready.
func (s *server) answers(ctx context.Context, program *local.Program) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // seconds, on a machine that has nothing else to do
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if s.healthy(ctx) {
			return nil
		}
		select {
		case <-again.C:
		case <-program.Gone():
			return fmt.Errorf("superset ended while it started: %w", program.Err())
		case <-ctx.Done():
			return fmt.Errorf("superset does not answer: %w", ctx.Err())
		}
	}
}

func (s *server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/health", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer http.DefaultClient.CloseIdleConnections()
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}
