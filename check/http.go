package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/vippy-ha/vippy/plugin"
)

// HTTP gets a page every so often: a status from 200 to 399 says healthy. Redirections are
// not followed, proxies not used, and each look makes a connection of its own.
type HTTP struct {
	Common
	// URL is of the scheme http or https; the certificate of the latter must be valid.
	URL string
	// Expect, where not empty, is what the first 64 KiB of the page must hold.
	Expect string
}

// maxPage is how much of a page is read.
const maxPage = 64 << 10

// Validate says what is wrong with the settings, all at once.
func (h HTTP) Validate() error {
	err := h.validate()
	if u, e := url.Parse(h.URL); e != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		err = errors.Join(err, h.fault("http: %q is no URL such as http://127.0.0.1:8080/health", h.URL))
	}
	return err
}

// Run checks until ctx is cancelled, and returns nil then.
func (h HTTP) Run(ctx context.Context, host plugin.Host) error {
	if err := h.Validate(); err != nil {
		return err
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	h.watch(ctx, host, func(ctx context.Context) string { return h.look(ctx, client) }, nil)
	return nil
}

func (h HTTP) look(ctx context.Context, client *http.Client) string {
	ctx, cancel := context.WithTimeout(ctx, h.limit())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("User-Agent", "vippyd (check "+url.PathEscape(h.Label)+")")
	answer, err := client.Do(r)
	if err != nil {
		return h.explain(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return "status " + answer.Status
	}
	if h.Expect == "" {
		return ""
	}
	page, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		return h.explain(ctx, err)
	}
	if !bytes.Contains(page, []byte(h.Expect)) {
		return fmt.Sprintf("the page doesn't hold %q", h.Expect)
	}
	return ""
}

// explain says what went wrong, without the URL, in which there may be a password.
func (h HTTP) explain(ctx context.Context, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Sprintf("not done within %v", h.limit())
	}
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return err.Error()
}
