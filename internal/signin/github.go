package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// gitHubMetadata is what GitHub would say of itself: it has no discovery.
func gitHubMetadata(issuer string) metadata {
	base := strings.TrimSuffix(issuer, "/")
	return metadata{AuthURL: base + "/login/oauth/authorize", TokenURL: base + "/login/oauth/access_token", TokenAuth: []string{"client_secret_post"}}
}

// gitHubAPI is where the API is: on a host of its own, but for servers of one's own.
func gitHubAPI(issuer string) string {
	base := strings.TrimSuffix(issuer, "/")
	if base == "https://github.com" {
		return "https://api.github.com"
	}
	return base + "/api/v3"
}

// gitHubPage is how many organisations, and how many teams, are looked at.
const gitHubPage = 100

// askGitHub asks who a token is of. GitHub signs nothing: what is believed is
// the answer of its API over TLS to a token that came for our code and our
// verifier. Somebody is their number, which no renaming changes.
func (s *Service) askGitHub(ctx context.Context, c *connection, token *oauth2.Token) (answer, error) {
	var user struct {
		ID    int64   `json:"id"`
		Login string  `json:"login"`
		Name  *string `json:"name"`
	}
	if err := s.getGitHub(ctx, c, token, "/user", &user); err != nil {
		return answer{}, refused(ReasonAway, err)
	}
	if user.ID <= 0 || user.Login == "" {
		return answer{}, refused(ReasonInvalid, errors.New("it did not say who this is"))
	}
	id := strconv.FormatInt(user.ID, 10)
	told := claims{"sub": id, "id": json.Number(id), "login": user.Login}
	if user.Name != nil {
		told["name"] = *user.Name
	}
	var emails []struct {
		Email             string `json:"email"`
		Primary, Verified bool
	}
	if err := s.mayGitHub(ctx, c, token, "user:email", "/user/emails", &emails); err != nil {
		return answer{}, err
	}
	for _, e := range emails {
		if e.Primary {
			told["email"], told["email_verified"] = e.Email, e.Verified
		}
	}
	groups, err := s.gitHubGroups(ctx, c, token)
	if err != nil {
		return answer{}, err
	}
	told["groups"] = groups
	return answer{externalID: id, claims: told, tokens: c.tokens(token, id)}, nil
}

// gitHubGroups gives organisations, and teams as organisation/team.
func (s *Service) gitHubGroups(ctx context.Context, c *connection, token *oauth2.Token) ([]any, error) {
	type login struct {
		Login string `json:"login"`
	}
	var organisations []login
	var teams []struct {
		Slug         string `json:"slug"`
		Organization login  `json:"organization"`
	}
	page := "?per_page=" + strconv.Itoa(gitHubPage)
	if err := s.mayGitHub(ctx, c, token, "read:org", "/user/orgs"+page, &organisations); err != nil {
		return nil, err
	}
	if err := s.mayGitHub(ctx, c, token, "read:org", "/user/teams"+page, &teams); err != nil {
		return nil, err
	}
	groups := make([]any, 0, len(organisations)+len(teams))
	for _, o := range organisations {
		groups = append(groups, o.Login)
	}
	for _, t := range teams {
		groups = append(groups, t.Organization.Login+"/"+t.Slug)
	}
	return groups, nil
}

// mayGitHub asks for what only a scope allows, when the provider has it.
func (s *Service) mayGitHub(ctx context.Context, c *connection, token *oauth2.Token, scope, path string, into any) error {
	if !slices.Contains(c.provider.Scopes, scope) {
		return nil
	}
	if err := s.getGitHub(ctx, c, token, path, into); err != nil {
		return refused(ReasonAway, err)
	}
	return nil
}

func (s *Service) getGitHub(ctx context.Context, c *connection, token *oauth2.Token, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, gitHubAPI(c.provider.Issuer)+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	token.SetAuthHeader(request)
	return s.get(request, "it", into)
}
