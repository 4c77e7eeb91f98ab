package api

import (
	"context"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/notify"
	"berth/internal/secret"
)

// SavedChannel is a notification channel with what is told once.
type SavedChannel struct {
	notify.Channel
	SigningSecret string `json:"signing_secret,omitempty" doc:"What a webhook's messages are signed with; shown only when it is made"`
}

// mayChannel says whether the caller may change a channel: of a project,
// whoever may edit it; for all of Berth, administrators.
func mayChannel(ctx context.Context, project string) error {
	if project != "" {
		return nil // the route's own rule is enough
	}
	if callerOf(ctx).allowed(may(identity.ActionAdminister), identity.On{}) != nil {
		return fault.Forbidden("only an administrator may change a channel for all of Berth; give it a project, or ask one")
	}
	return nil
}

// inside says whether the caller may give addresses in private networks.
func inside(ctx context.Context) bool {
	return callerOf(ctx).allowed(may(identity.ActionAdminister), identity.On{}) == nil
}

type listChannelsInput struct {
	Project string `query:"project" maxLength:"64" doc:"Only those of this project"`
}

func (a *API) listChannels(ctx context.Context, in *listChannelsInput) (*listOutput[notify.Channel], error) {
	found, err := a.notifier.Channels(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type createChannelInput struct {
	Body struct {
		Name    string         `json:"name" minLength:"1" maxLength:"63"`
		Service notify.Service `json:"service"`
		Project string         `json:"project,omitempty" maxLength:"64" doc:"Absent for all of Berth, which takes an administrator"`
		Kinds   []notify.Kind  `json:"kinds" maxItems:"32"`
		Enabled *bool          `json:"enabled,omitempty" default:"true"`
		Address secret.Text    `json:"address,omitzero" maxLength:"2048" doc:"Where messages go, with its tokens; it is never shown again. Nothing is sent without one"`
	}
}

func (a *API) createChannel(ctx context.Context, in *createChannelInput) (*output[SavedChannel], error) {
	if err := mayChannel(ctx, in.Body.Project); err != nil {
		return nil, err
	}
	c, key, err := a.notifier.Create(ctx, callerOf(ctx).actor(), notify.NewChannel{
		Name: in.Body.Name, Service: in.Body.Service, Project: in.Body.Project, Kinds: in.Body.Kinds,
		Enabled: in.Body.Enabled == nil || *in.Body.Enabled, Address: in.Body.Address, Inside: inside(ctx),
	})
	if err != nil {
		return nil, err
	}
	return answer(SavedChannel{Channel: c, SigningSecret: key.Reveal()}), nil
}

// ChannelPath names a channel in a path.
type ChannelPath struct {
	Channel string `path:"channel" maxLength:"63"`
}

func (a *API) getChannel(ctx context.Context, in *ChannelPath) (*output[notify.Channel], error) {
	c, err := a.notifier.Channel(ctx, in.Channel)
	if err != nil {
		return nil, err
	}
	return answer(c), nil
}

// editableChannel refuses a channel that the caller may not change.
func (a *API) editableChannel(ctx context.Context, name string) error {
	c, err := a.notifier.Channel(ctx, name)
	if err != nil {
		return err
	}
	return mayChannel(ctx, c.Project)
}

type updateChannelInput struct {
	ChannelPath
	Body struct {
		Version          int64         `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Name             *string       `json:"name,omitempty" minLength:"1" maxLength:"63"`
		Kinds            []notify.Kind `json:"kinds,omitempty" maxItems:"32"`
		Enabled          *bool         `json:"enabled,omitempty"`
		Address          secret.Text   `json:"address,omitzero" maxLength:"2048" doc:"Instead of the one there is"`
		NewSigningSecret bool          `json:"new_signing_secret,omitempty" doc:"Sign a webhook with a new secret from now on"`
	}
}

func (a *API) updateChannel(ctx context.Context, in *updateChannelInput) (*output[SavedChannel], error) {
	if err := a.editableChannel(ctx, in.Channel); err != nil {
		return nil, err
	}
	c, key, err := a.notifier.Update(ctx, callerOf(ctx).actor(), in.Channel, in.Body.Version, notify.ChannelEdit{
		Name: in.Body.Name, Kinds: in.Body.Kinds, Enabled: in.Body.Enabled,
		Address: in.Body.Address, Inside: inside(ctx), NewSigningSecret: in.Body.NewSigningSecret,
	})
	if err != nil {
		return nil, err
	}
	return answer(SavedChannel{Channel: c, SigningSecret: key.Reveal()}), nil
}

func (a *API) removeChannel(ctx context.Context, in *ChannelPath) (*struct{}, error) {
	if err := a.editableChannel(ctx, in.Channel); err != nil {
		return nil, err
	}
	return nil, a.notifier.Remove(ctx, callerOf(ctx).actor(), in.Channel)
}

func (a *API) testChannel(ctx context.Context, in *ChannelPath) (*output[notify.Delivery], error) {
	if err := a.editableChannel(ctx, in.Channel); err != nil {
		return nil, err
	}
	d, err := a.notifier.Test(ctx, callerOf(ctx).actor(), in.Channel)
	if err != nil {
		return nil, err
	}
	return answer(d), nil
}

type listNotificationsInput struct {
	Page
	Channel string       `query:"channel" maxLength:"63"`
	Project string       `query:"project" maxLength:"64" doc:"Only those of this project's channels"`
	State   notify.State `query:"state"`
}

func (a *API) listNotifications(ctx context.Context, in *listNotificationsInput) (*listOutput[notify.Delivery], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	found, next, err := a.notifier.Sent(ctx, notify.SentFilter{
		Channel: in.Channel, Project: in.Project, State: in.State, Before: in.Cursor,
	}, in.Limit)
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

type notificationInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) retryNotification(ctx context.Context, in *notificationInput) (*output[notify.Delivery], error) {
	_, c, err := a.notifier.Delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := mayChannel(ctx, c.Project); err != nil {
		return nil, err
	}
	d, err := a.notifier.Retry(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(d), nil
}
