// Package dashboard makes the link that opens ClickHouse's own dashboard with leadhouse's charts: the page /dashboard that
// every ClickHouse server carries, drawn from the analytics views. Nothing is installed, and nothing but the server is asked:
// page, charts and queries work without internet.
//
// A chart is one SQL file here, with its title and a comment at its head. The page asks for unix time in the first column and draws every
// further column as a line; of three columns, of which the second is a String, it makes a line for each of that one's values.
//
// # Promises
//
//   - **No password is in the link.** It carries addresses, the user's name and the queries; the page asks for the rest.
//   - A chart counts each event once, whoever opens the link: what it reads is a view, or says FINAL, or is a maximum.
//   - A chart has rows whatever the warehouse holds: the page shows an error where a query returns none.
//
// # What happens when
//
//	the warehouse lacks a view     that chart shows ClickHouse's error, the others are drawn
//	the user may not SELECT from   the page shows that error and no chart: it lists its own dashboards as well. The user
//	  system.dashboards            that leadhouse schema bi-user makes may
//	the server wants a password    the page says so, and has a field for it
//	a chart spans more than a      there are no dates at its foot: the page's axis has steps of up to a day. The pointer
//	  week or two                  shows them
//	a chart is changed there       its new query is in the address bar: a link of its own
package dashboard

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
)

// Chart is one of the page's.
type Chart struct {
	Title string `json:"title"`
	Query string `json:"query"` // with the page's parameters, {name:Type}
}

//go:embed *.sql
var files embed.FS

// order is that of the page.
func order() []string {
	return []string{"freshness", "events", "leads", "opportunities", "commissions", "latency", "dead_letters"}
}

// Charts are all charts, in the page's order.
func Charts() ([]Chart, error) {
	var charts []Chart
	for _, name := range order() {
		text, err := fs.ReadFile(files, name+".sql")
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", name, err)
		}
		head, query, _ := strings.Cut(string(text), "\n")
		title, found := strings.CutPrefix(head, "-- title: ")
		if !found {
			return nil, fmt.Errorf("chart %s: it begins with %q, not with its title", name, head)
		}
		for strings.HasPrefix(query, "--") { // comments would only make the link longer
			_, query, _ = strings.Cut(query, "\n")
		}
		charts = append(charts, Chart{title, strings.TrimSpace(query)})
	}
	return charts, nil
}

// Params are what the page puts into the queries, and shows as fields to change: a week by the hour, a year by the month.
func Params(database string) map[string]string {
	return map[string]string{"database": database, "seconds": "604800", "rounding": "3600", "months": "12"}
}

// state is what the page keeps behind the # of its address.
type state struct {
	Host    string            `json:"host"` // it must be the first: see Link
	User    string            `json:"user"`
	Queries []Chart           `json:"queries"`
	Params  map[string]string `json:"params"`
}

// Link is the page's address for a server's HTTP interface, e.g. http://127.0.0.1:8123, a user who may read the database, and
// the database.
//
// The page writes its state compressed with lz-string, and reads that or, as it wrote it once, base64. **Base64 is what every
// version reads**: the JSON begins with {" and its base64 so with eyJ, which lz-string takes for the end of an empty text,
// and the page then goes on to base64.
func Link(server, user, database string) (string, error) {
	address, err := url.Parse(server)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return "", fmt.Errorf("%q is not the address of ClickHouse's HTTP interface, like http://127.0.0.1:8123", server)
	}
	if _, secret := address.User.Password(); secret {
		return "", fmt.Errorf("the address of %s has a password, which must not be in a link", address.Host)
	}
	charts, err := Charts()
	if err != nil {
		return "", err
	}
	host := address.Scheme + "://" + address.Host
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // \u003e for > would only make it longer
	if err := encoder.Encode(state{host, user, charts, Params(database)}); err != nil {
		return "", fmt.Errorf("write the page's state: %w", err)
	}
	return host + "/dashboard#" + base64.StdEncoding.EncodeToString(bytes.TrimSpace(text.Bytes())), nil
}
