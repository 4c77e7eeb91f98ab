package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// push hands what is in an address to the provider, and gives the address that
// only refers to it (RFC 9126): the browser carries nothing that could be
// changed on the way.
func (s *Service) push(ctx context.Context, c *connection, config *oauth2.Config, to string) (string, error) {
	address, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	form := address.Query()
	if config.Endpoint.AuthStyle == oauth2.AuthStyleInParams && config.ClientSecret != "" {
		form.Set("client_secret", config.ClientSecret)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.meta.PushURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	if config.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		// Encoded first: RFC 6749 section 2.3.1.
		request.SetBasicAuth(url.QueryEscape(config.ClientID), url.QueryEscape(config.ClientSecret))
	}
	var pushed struct {
		RequestURI string `json:"request_uri"`
		Error      string `json:"error"`
	}
	status, _, err := s.fetch(request, &pushed)
	switch {
	case err != nil:
		return "", refused(ReasonAway, err)
	case status != http.StatusCreated && status != http.StatusOK:
		return "", refused(ReasonDeclined, fmt.Errorf("it took no pushed request: %d %s", status, errorCode(pushed.Error)))
	case pushed.RequestURI == "":
		return "", refused(ReasonInvalid, errors.New("it named no request_uri"))
	}
	address.RawQuery = url.Values{"client_id": {config.ClientID}, "request_uri": {pushed.RequestURI}}.Encode()
	return address.String(), nil
}
