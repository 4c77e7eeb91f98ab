package api

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"berth/internal/secret"
	"berth/internal/webhook"
)

// receiveInput is a delivery as it came: its headers and its body count as
// they are.
type receiveInput struct {
	Source  string `path:"source" maxLength:"40"`
	Token   string `path:"token" maxLength:"100"`
	RawBody []byte
	header  http.Header
}

// Resolve keeps the headers: which of them matter depends on the source.
func (in *receiveInput) Resolve(c huma.Context) []error {
	in.header = http.Header{}
	c.EachHeader(func(name, value string) { in.header.Add(name, value) })
	return nil
}

// Received is what the sender of a delivery is told.
type Received struct {
	Delivery string          `json:"delivery" doc:"Its id"`
	Verdict  webhook.Verdict `json:"verdict"`
	Reason   string          `json:"reason,omitempty"`
}

func (a *API) receiveWebhook(ctx context.Context, in *receiveInput) (*output[Received], error) {
	d, err := a.webhooks.Receive(ctx, webhook.Incoming{
		Source: webhook.Source(in.Source), Token: secret.New(in.Token), Header: in.header, Body: in.RawBody,
		Address: callerOf(ctx).origin.Address,
	})
	if err != nil {
		return nil, err
	}
	return answer(Received{Delivery: d.ID, Verdict: d.Verdict, Reason: d.Reason}), nil
}

type listWebhooksInput struct {
	Project string `query:"project" maxLength:"64" doc:"Only those of this project"`
}

func (a *API) listWebhooks(ctx context.Context, in *listWebhooksInput) (*listOutput[webhook.Webhook], error) {
	found, err := a.webhooks.List(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type createWebhookInput struct {
	Body struct {
		Name           string         `json:"name" minLength:"1" maxLength:"100"`
		Source         webhook.Source `json:"source"`
		Project        string         `json:"project,omitempty" maxLength:"64" doc:"The one whose image it may tell of; absent for all"`
		Registry       string         `json:"registry,omitempty" maxLength:"255" doc:"The host that its images have in projects, where the sender does not say one or says another"`
		Secret         secret.Text    `json:"secret,omitzero" maxLength:"255" doc:"What deliveries are signed with, or carry"`
		GenerateSecret bool           `json:"generate_secret,omitempty" doc:"Make a secret and show it this once"`
	}
}

// NewWebhook is a webhook with what is shown this once.
type NewWebhook struct {
	webhook.Webhook
	URL        string `json:"url" doc:"Where the sender posts to; it holds the token"`
	SecretText string `json:"secret_text,omitempty" doc:"The secret, where it was made here"`
}

func (a *API) createWebhook(ctx context.Context, in *createWebhookInput) (*output[NewWebhook], error) {
	if in.Body.Project != "" {
		if _, err := a.deploy.Project(ctx, in.Body.Project); err != nil {
			return nil, err
		}
	}
	made, err := a.webhooks.Add(ctx, callerOf(ctx).actor(), webhook.Request{
		Name: in.Body.Name, Source: in.Body.Source, Project: in.Body.Project, Registry: in.Body.Registry,
		Secret: in.Body.Secret, Generate: in.Body.GenerateSecret,
	})
	if err != nil {
		return nil, err
	}
	return answer(NewWebhook{Webhook: made.Webhook, URL: made.URL.Reveal(), SecretText: made.Secret.Reveal()}), nil
}

// HookPath names a webhook in a path.
type HookPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) getWebhook(ctx context.Context, in *HookPath) (*output[webhook.Webhook], error) {
	h, err := a.webhooks.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(h), nil
}

func (a *API) removeWebhook(ctx context.Context, in *HookPath) (*struct{}, error) {
	return nil, a.webhooks.Remove(ctx, callerOf(ctx).actor(), in.ID)
}

type listDeliveriesInput struct {
	HookPath
	Page
}

func (a *API) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*listOutput[webhook.Delivery], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	found, next, err := a.webhooks.Deliveries(ctx, in.ID, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

// DeliveryPath names a delivery in a path.
type DeliveryPath struct {
	HookPath
	Delivery string `path:"delivery" maxLength:"64"`
}

// DeliveryDetail is a delivery with what was sent.
type DeliveryDetail struct {
	webhook.Delivery
	Payload string `json:"payload,omitempty" doc:"As it came; absent when it was too large to keep, or its secret was wrong"`
}

func (a *API) getDelivery(ctx context.Context, in *DeliveryPath) (*output[DeliveryDetail], error) {
	d, payload, err := a.webhooks.Payload(ctx, in.ID, in.Delivery)
	if err != nil {
		return nil, err
	}
	text := string(payload)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return answer(DeliveryDetail{Delivery: d, Payload: text}), nil
}

func (a *API) replayDelivery(ctx context.Context, in *DeliveryPath) (*output[webhook.Delivery], error) {
	d, err := a.webhooks.Replay(ctx, callerOf(ctx).actor(), in.ID, in.Delivery)
	if err != nil {
		return nil, err
	}
	return answer(d), nil
}
