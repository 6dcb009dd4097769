//go:build bi

package superset_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
)

// An api is a session with Superset's REST API.
type api struct {
	url         string
	client      *http.Client
	token, csrf string
}

func (s *server) logIn(t *testing.T) *api {
	t.Helper()
	jar, err := cookiejar.New(nil) // the CSRF token is good for one session
	if err != nil {
		t.Fatal(err)
	}
	a := &api{url: s.url, client: &http.Client{Jar: jar, Transport: &http.Transport{}}}
	t.Cleanup(a.client.CloseIdleConnections)
	var login struct {
		Token string `json:"access_token"`
	}
	a.call(t, http.MethodPost, "/api/v1/security/login", map[string]any{"username": s.user, "password": s.password, "provider": "db"}, &login)
	a.token = login.Token
	var csrf struct{ Result string }
	a.call(t, http.MethodGet, "/api/v1/security/csrf_token/", nil, &csrf)
	a.csrf = csrf.Result
	return a
}

// call asks and reads the answer into answer, which may be nil. Anything but 200 fails the test.
func (a *api) call(t *testing.T, method, path string, question, answer any) {
	t.Helper()
	status, body := a.ask(t, method, path, question)
	if status != http.StatusOK {
		t.Fatalf("%s %s: got %d, want 200: %.1000s", method, path, status, body)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatalf("%s %s: %v: %.1000s", method, path, err, body)
	}
}

func (a *api) ask(t *testing.T, method, path string, question any) (status int, answer []byte) {
	t.Helper()
	var body bytes.Buffer
	if question != nil {
		if err := json.NewEncoder(&body).Encode(question); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	if question != nil { // Superset takes an empty body of this type for a broken one
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Referer", a.url)
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
		req.Header.Set("X-CSRFToken", a.csrf)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// list is what a list of the API holds: {"result": […]}.
func list[T any](t *testing.T, a *api, resource string) []T {
	t.Helper()
	var l struct{ Result []T }
	a.call(t, http.MethodGet, "/api/v1/"+resource+"/?q=(page_size:100)", nil, &l)
	return l.Result
}
