package gateway

import (
	"net/url"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/identity"
)

// Sight is where a request would go, before it comes.
type Sight struct {
	Route deploy.Route
	Visit identity.Visit // but for where it comes from, and when
	Path  string         // what the app would be asked for
}

// Sight looks a request up as [Gateway.ServeHTTP] does. It fails for one that
// goes to no app.
func (g *Gateway) Sight(method string, u *url.URL) (s Sight, err error) {
	wrong := func(format string, args ...any) (Sight, error) { return Sight{}, fault.Invalid(format, args...) }
	host, ok := normalHost(u.Host)
	switch {
	case !ok:
		return wrong("%q is no address such as https://app.example.com/x", u)
	case g.isBase(host):
		return wrong("%s is Berth itself: roles say who may do what there", host)
	}
	path, ok := read(u)
	if !ok {
		return wrong("the path %s can be read in more than one way, so the gateway refuses it", u.EscapedPath())
	}
	switch ours, same := path.toBerth(); {
	case !same:
		return wrong("the path %s can be read in more than one way, so the gateway refuses it", u.EscapedPath())
	case ours:
		return wrong("%s is Berth's own on every app's host", path.path)
	}
	found, ok := g.table.current.Load().route(host, path)
	switch {
	case !ok:
		return wrong("the path %s can be read in ways that lead to different routes, so the gateway refuses it", u.EscapedPath())
	case found == nil:
		return Sight{}, fault.NotFound("nothing is served at %s%s", host, path.path)
	}
	return Sight{
		Route: found.Route, Path: found.targetPath(u),
		Visit: identity.Visit{
			Method: method, Path: path.path, Others: path.others(),
			On: identity.On{Project: found.Project, Stage: found.Stage}, OnlyProvider: g.onlyProvider(),
		},
	}, nil
}

// Header is a field of the request that an app gets.
type Header struct {
	Name       string `json:"name"`
	Value      string `json:"value,omitempty"`
	PerRequest bool   `json:"per_request,omitempty" doc:"It is made anew for each request, so that no value is shown"`
}

// Tells gives the fields by which an app would be told of somebody; nobody is
// not told of.
func (g *Gateway) Tells(s Sight, subject *identity.Subject) []Header {
	if subject == nil {
		return nil
	}
	var list []Header
	for _, f := range g.teller.fieldsOf(subject) {
		list = append(list, Header{Name: f.name, Value: f.value})
	}
	list = append(list, Header{Name: g.teller.context, Value: contextOf(s.Route)})
	if g.keys != nil && s.Route.Access.Audience != "" {
		list = append(list, Header{Name: g.teller.prefix + "Assertion", PerRequest: true})
	}
	return list
}

// Readings gives the path of a request target, such as "/x?y", and the other
// ways in which an app may read it: what counts for who may enter. It fails
// for one that the gateway would refuse.
func Readings(target string) (path string, others []string, err error) {
	u, err := url.ParseRequestURI(target)
	if err != nil || target[0] != '/' {
		return "", nil, fault.InvalidFields([]fault.Field{{Name: "path", Message: "is a path such as /admin"}})
	}
	r, safe := read(u)
	if !safe {
		return "", nil, fault.InvalidFields([]fault.Field{{Name: "path", Message: "can be read in more than one way, so the gateway refuses it"}})
	}
	return r.path, r.others(), nil
}

// others are the readings beside the first.
func (r readings) others() (list []string) {
	for _, other := range []string{r.literal, r.merged} {
		if other != "" {
			list = append(list, other)
		}
	}
	return list
}
