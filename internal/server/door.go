package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/registry"
	"berth/internal/secret"
)

// engineUser is who the engine is on the internal listener.
const engineUser = "engine"

func newCredential() secret.Text { return secret.New(rand.Text()) }

// internalRegistry tells the resolver where the engine finds the built-in
// registry in this run.
func internalRegistry(address net.Addr, credential secret.Text) func() (host, username string, password secret.Text) {
	return func() (string, string, secret.Text) { return address.String(), engineUser, credential }
}

// authenticator lets Berth's people in to the registry.
type authenticator struct {
	people *identity.Service
	door   *localDoor
}

// Authenticate tells the registry who comes and what they may do.
func (a *authenticator) Authenticate(ctx context.Context, username string, password secret.Text, address string) (registry.Account, error) {
	if a.door.opens(username, password) {
		return registry.Account{Name: identity.Local().Person.Username, Push: true, Pull: true}, nil
	}
	subject, err := a.people.Authenticate(ctx, username, password, identity.Origin{Address: address, UserAgent: "registry"})
	if err != nil {
		return registry.Account{}, err
	}
	return accountOf(subject), nil
}

// accountOf is a person, or an API token, as the registry knows them.
func accountOf(s identity.Subject) registry.Account {
	a := registry.Account{Name: s.Person.Username}
	var on identity.On
	if b := s.Bounds; b != nil {
		on.Repository = b.Repository
		a.Bound = &registry.Bound{Repository: b.Repository, Project: b.Project, Stage: b.Stage}
	}
	a.Push = identity.Decide(&s, identity.ActionPush, on) == nil
	a.Pull = identity.Decide(&s, identity.ActionPull, on) == nil
	return a
}

// localDoor lets the local socket push to the registry: its requests carry a
// credential that is made at each start and that nobody outside knows.
type localDoor struct{ username, password string }

func newLocalDoor() *localDoor { return &localDoor{"local-" + rand.Text(), rand.Text()} }

func (d *localDoor) opens(username string, password secret.Text) bool {
	return subtle.ConstantTimeCompare([]byte(username), []byte(d.username)) == 1 &&
		subtle.ConstantTimeCompare([]byte(password.Reveal()), []byte(d.password)) == 1
}

// handler serves /v2/ to the local socket.
func (d *localDoor) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.SetBasicAuth(d.username, d.password)
		next.ServeHTTP(w, r)
	})
}

// localMux is what the local socket answers.
func (s *Server) localMux() http.Handler {
	other := s.api.LocalHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
			s.localHandler.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// projects is deploy as the notifier asks it.
type projects struct{ deploy *deploy.Service }

// HasProject says whether there is a project of that name.
func (p projects) HasProject(ctx context.Context, name string) (bool, error) {
	_, err := p.deploy.Project(ctx, name)
	if fault.KindOf(err) == fault.Missing {
		return false, nil
	}
	return err == nil, err
}
