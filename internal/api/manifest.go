package api

import (
	"context"

	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/secret"
)

// maxManifestBytes bounds the body of a request that carries a document, which
// JSON makes longer, and what was sealed in it.
const maxManifestBytes = 4 * manifest.MaxSize

// administrates says whether the caller may see and change what only
// administrators may.
func administrates(ctx context.Context) bool {
	return callerOf(ctx).allowed(may(identity.ActionAdminister), identity.On{}) == nil
}

type exportManifestInput struct {
	Project string `query:"project" maxLength:"64" doc:"Only this project, with the secrets that its stages use"`
}

// exportManifest gives secrets by their names; accounts to administrators.
func (a *API) exportManifest(ctx context.Context, in *exportManifestInput) (*fileOutput, error) {
	doc, err := a.manifest.Export(ctx, manifest.Scope{Project: in.Project, Accounts: administrates(ctx)})
	if err != nil {
		return nil, err
	}
	return yamlFile(doc)
}

type sealManifestInput struct {
	Body struct {
		Project    string   `json:"project,omitempty" maxLength:"64" doc:"Only this project, with the secrets that its stages use"`
		Recipients []string `json:"recipients" minItems:"1" maxItems:"20" doc:"The public keys of age that can open the secrets" example:"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"`
	}
}

// sealManifest gives all secrets to whoever has the key, and so is for who may
// be shown each: an administrator who has just proved who they are, or who is on
// the machine itself.
func (a *API) sealManifest(ctx context.Context, in *sealManifestInput) (*fileOutput, error) {
	if err := a.provesAgain(ctx); err != nil {
		return nil, err
	}
	doc, err := a.manifest.Export(ctx, manifest.Scope{Project: in.Body.Project, Accounts: true})
	if err != nil {
		return nil, err
	}
	if doc, err = a.manifest.Seal(ctx, callerOf(ctx).actor(), doc, in.Body.Recipients); err != nil {
		return nil, err
	}
	return yamlFile(doc)
}

// fileOutput is a file for a person to keep.
type fileOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte `contentType:"application/yaml"`
}

func yamlFile(doc manifest.Document) (*fileOutput, error) {
	raw, err := manifest.Encode(doc)
	if err != nil {
		return nil, err
	}
	// RFC 9512
	return &fileOutput{ContentType: "application/yaml", Disposition: `attachment; filename="berth.yaml"`, Body: raw}, nil
}

// OpenedSecret is the value of what is sealed in a document, as its sender
// opened it: the key stays with the sender.
type OpenedSecret struct {
	Context string      `json:"context" maxLength:"200" doc:"registry for the password of a registry account, whose name is the host; berth/provider for the client secret of a provider, whose name is its slug"`
	Name    string      `json:"name" maxLength:"255"`
	Value   secret.Text `json:"value" maxLength:"65536"`
}

// ManifestRequest is a document with what belongs to it.
type ManifestRequest struct {
	Document string         `json:"document" maxLength:"1048576" doc:"The configuration as YAML"`
	Opened   []OpenedSecret `json:"opened,omitempty" doc:"What is sealed in the document; a sealed value that is not here stays as it is on the server"`
	Prune    bool           `json:"prune,omitempty" doc:"Remove what the document's sections do not name"`
}

func (b ManifestRequest) request(ctx context.Context) manifest.Request {
	values := manifest.Values{}
	for _, o := range b.Opened {
		values[manifest.Slot{Context: o.Context, Name: o.Name}] = o.Value
	}
	return manifest.Request{Document: []byte(b.Document), Values: values, Prune: b.Prune, Administrator: administrates(ctx), By: callerOf(ctx).who()}
}

type planManifestInput struct{ Body ManifestRequest }

func (a *API) planManifest(ctx context.Context, in *planManifestInput) (*output[manifest.Plan], error) {
	plan, err := a.manifest.Plan(ctx, in.Body.request(ctx))
	if err != nil {
		return nil, err
	}
	return answer(plan), nil
}

type applyManifestInput struct {
	Body struct {
		ManifestRequest
		Fingerprint string `json:"fingerprint,omitempty" maxLength:"64" doc:"That of the plan that was seen; 409 when it would be another one now. Without it, whatever the plan is is done, unless people have no way in left by it"`
		Deploy      bool   `json:"deploy,omitempty" doc:"Have the stages that the document names take up what is saved and not deployed"`
	}
}

func (a *API) applyManifest(ctx context.Context, in *applyManifestInput) (*output[manifest.Result], error) {
	r := in.Body.request(ctx)
	r.Fingerprint, r.Deploy = in.Body.Fingerprint, in.Body.Deploy
	result, err := a.manifest.Apply(ctx, callerOf(ctx).actor(), r)
	if err != nil {
		return nil, err
	}
	return answer(result), nil
}
