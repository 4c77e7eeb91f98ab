package api

import (
	"context"
	"net/netip"

	"berth/internal/gateway"
	"berth/internal/identity"
)

// AppInfo is an app that the caller may enter.
type AppInfo struct {
	Name   string `json:"name" doc:"The project and the stage, or the route" example:"shop/prod"`
	URL    string `json:"url" doc:"The first address of it that the caller may open" example:"https://shop.example.com/"`
	Public bool   `json:"public" doc:"Whether everybody may enter, without signing in"`
	Need   string `json:"need" enum:"nothing,stronger,fresher" doc:"What must be proved first"`
}

// listApps lists what the caller may enter with what they came with: of an API
// token, the apps that take it. A bound one learns of no others, public as they
// may be.
func (a *API) listApps(ctx context.Context, in *Page) (*listOutput[AppInfo], error) {
	c := callerOf(ctx)
	from, _ := netip.ParseAddr(c.origin.Address) // of no network that a rule names, when there is none
	apps := []AppInfo{}
	for _, app := range a.gateway.Apps(c.subject, from, a.clock()) {
		if c.subject.Bounds == nil || identity.Decide(c.subject, identity.ActionRead, app.On) == nil {
			apps = append(apps, infoOf(app))
		}
	}
	return part(apps, *in, func(app AppInfo) string { return app.Name }), nil
}

func infoOf(app gateway.App) AppInfo {
	return AppInfo{Name: app.Name, URL: app.URL, Public: app.Public, Need: app.Need.String()}
}
