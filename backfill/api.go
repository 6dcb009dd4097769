package backfill

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/leadhouse/leadhouse/schema"
)

// The catalog endpoint (Events page, "Catalog Endpoint"): GET, the key in X-API-Key, no parameters, no paging.
const (
	catalogPath    = "/v1/integrations/webhooks/catalog"
	attemptTimeout = 30 * time.Second // of one request, answer included: what Leadron's SDKs use
	maxAttempts    = 6                // with growing pauses, a quarter of a minute: an API's restart, not its outage
)

// instead is what an operator can do while the API does not answer.
const instead = "; without the API: --catalog FILE or --catalog builtin"

// catalogURL takes the base address with or without its version: Leadron's pages print https://api.leadron.io/v1, its
// SDKs https://api.leadron.io.
func catalogURL(base string) string {
	return strings.TrimSuffix(strings.TrimRight(base, "/"), "/v1") + catalogPath
}

// api asks the catalog endpoint.
type api struct {
	client http.Client
	url    string
	key    string
	agent  string
}

// pullAPI asks until it has the catalog, or an answer that asking again would not change.
func (b *Backfill) pullAPI(ctx context.Context) (*schema.Catalog, string, error) {
	a := &api{client: *b.cfg.HTTPClient, url: catalogURL(b.cfg.APIURL), key: b.cfg.APIKey, agent: "leadhouse/" + b.cfg.Version}
	// **The key goes to this address alone**: Go's client would send X-API-Key on to wherever a redirect leads.
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer a.client.CloseIdleConnections()

	c, err := backoff.Retry(ctx, func() (*schema.Catalog, error) { return a.ask(ctx) },
		backoff.WithBackOff(b.backOff()),
		backoff.WithMaxTries(maxAttempts),
		backoff.WithMaxElapsedTime(b.cfg.PullTimeout),
		backoff.WithNotify(func(err error, wait time.Duration) {
			b.cfg.Logger.Warn().Err(err).Dur("wait", wait).Time("until", time.Now().Add(wait)).Msg("Leadron will be asked again")
		}))
	if err != nil {
		return nil, "", err
	}
	return c, a.url, nil
}

// backOff grows from RetryMin to RetryMax, doubling, each pause off by up to half: many at once do not come back as one.
func (b *Backfill) backOff() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: b.cfg.RetryMin, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: b.cfg.RetryMax}
}

// ask makes one request. Errors that asking again would not change are backoff.Permanent.
func (a *api) ask(ctx context.Context) (*schema.Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header.Set("X-API-Key", a.key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", a.agent)
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, a.unreached(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, a.refused(resp)
	}
	body, err := readBounded(resp.Body)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, backoff.Permanent(fmt.Errorf("the answer of %s is %w", a.url, err))
	case err != nil: // cut: the next answer may be whole
		return nil, fmt.Errorf("the answer of %s was cut off: %w", a.url, err)
	}
	c, err := schema.DecodeCatalog(body)
	if err != nil {
		return nil, backoff.Permanent(fmt.Errorf("%s answered %.60q with something else than a catalog: %w",
			a.url, cmp.Or(resp.Header.Get("Content-Type"), "no content type"), err))
	}
	return c, nil
}

// unreached is for requests that got no answer. What is about the certificate or the scheme will not change by itself.
func (a *api) unreached(err error) error {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return backoff.Permanent(fmt.Errorf("the certificate of %s is not to be trusted, so the key was not sent: %w", a.url, certificate.Err))
	case errors.Is(err, http.ErrSchemeMismatch):
		return backoff.Permanent(fmt.Errorf("%s speaks plain HTTP, not HTTPS: check --leadron-api-url", a.url))
	}
	return fmt.Errorf("Leadron cannot be reached%s: %w", instead, err) //nolint:staticcheck // a name
}

// refused makes a sentence of an answer that is not 200. **The body is not quoted**: it might repeat the key.
func (a *api) refused(resp *http.Response) error {
	const check = "check LEADHOUSE_LEADRON_API_KEY or --leadron-api-key-file"
	var err error
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized:
		err = errors.New("Leadron does not know this API key (401): " + check + ", and in Leadron, Settings → Integrations, whether the key still exists" + instead) //nolint:staticcheck // a name
	case code == http.StatusForbidden:
		err = errors.New("Leadron does not let this API key read the webhook catalog (403): " + check + ", and the key's scope in Leadron" + instead) //nolint:staticcheck // a name
	case code == http.StatusNotFound:
		err = fmt.Errorf("there is no catalog at %s (404): check --leadron-api-url", a.url)
	case code >= 300 && code < 400:
		err = fmt.Errorf("%s redirects to %s (%d), and the key is not sent there: if that is Leadron's address, set --leadron-api-url", a.url, redirectHost(resp), code)
	case code == http.StatusTooManyRequests:
		return tooMany(resp)
	case code == http.StatusRequestTimeout, code >= 500:
		return later(fmt.Sprintf("%s answers %s%s", a.url, status(code), instead), retryAfter(resp))
	default:
		err = fmt.Errorf("%s answers %s", a.url, status(code))
	}
	return backoff.Permanent(err)
}

// status is a code in words that are ours: a server may put any text there.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// redirectHost is where a redirect leads, without its path and parameters: they may repeat the key.
func redirectHost(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil {
		return "nowhere"
	}
	return fmt.Sprintf("%.100s", (&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}
