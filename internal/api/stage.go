package api

import (
	"context"

	"berth/internal/deploy"
	"berth/internal/fault"
	"berth/internal/registry"
)

// StagePath names a stage in a path.
type StagePath struct {
	ProjectPath
	Stage string `path:"stage" maxLength:"64"`
}

type createStageInput struct {
	ProjectPath
	Body struct {
		Name string           `json:"name" minLength:"1" maxLength:"64"`
		Spec deploy.StageSpec `json:"spec"`
	}
}

func (a *API) createStage(ctx context.Context, in *createStageInput) (*output[deploy.Stage], error) {
	s, err := a.deploy.CreateStage(ctx, callerOf(ctx).actor(), in.Project, in.Body.Name, in.Body.Spec, allowances(ctx)...)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

// allowances are what the caller may do with a stage beyond editing it.
func allowances(ctx context.Context) []deploy.Allowance {
	if administrates(ctx) {
		return []deploy.Allowance{deploy.AllowBinds, deploy.AllowAccess}
	}
	return nil
}

func (a *API) getStage(ctx context.Context, in *StagePath) (*output[deploy.StageStatus], error) {
	s, err := a.deploy.Stage(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

type updateStageInput struct {
	StagePath
	Body struct {
		Version int64            `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Spec    deploy.StageSpec `json:"spec"`
	}
}

func (a *API) updateStage(ctx context.Context, in *updateStageInput) (*output[deploy.Stage], error) {
	s, err := a.deploy.UpdateStage(ctx, callerOf(ctx).actor(), in.Project, in.Stage, in.Body.Version, in.Body.Spec, allowances(ctx)...)
	if err != nil {
		return nil, err
	}
	return answer(s), nil
}

func (a *API) removeStage(ctx context.Context, in *StagePath) (*output[Kept], error) {
	volumes, err := a.deploy.RemoveStage(ctx, callerOf(ctx).actor(), in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	return answer(Kept{Volumes: notNull(volumes)}), nil
}

// StageTag is a tag of a stage's image.
type StageTag struct {
	registry.Tag
	Matches bool `json:"matches" doc:"Whether a push of this tag deploys to the stage"`
	Newest  bool `json:"newest" doc:"Whether it is the newest that matches: by version for a semver rule, else by when the image was created; of equals the highest version, then the last by name"`
	// NewestBy tells a guess by names, as of images in other registries.
	NewestBy deploy.NewestBy `json:"newest_by,omitempty" enum:"version,created,name" doc:"Of the newest: what it was told by; name when it is not known when images were created"`
}

// stageTags lists the tags of the built-in registry with all that it knows of
// them, and of an image in another registry their names.
func (a *API) stageTags(ctx context.Context, in *StagePath) (*listOutput[StageTag], error) {
	s, err := a.deploy.Stage(ctx, in.Project, in.Stage)
	if err != nil {
		return nil, err
	}
	found, err := a.matchingTags(ctx, in.Project, s.Spec.Tags)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

// matchingTags lists the tags of a project's image, and says of each whether
// the rule takes it.
func (a *API) matchingTags(ctx context.Context, project string, rule deploy.TagRule) ([]StageTag, error) {
	p, err := a.deploy.Project(ctx, project)
	if err != nil {
		return nil, err
	}
	tags, err := a.resolver.AllTags(ctx, p.Image)
	if err != nil && fault.KindOf(err) != fault.Missing {
		return nil, err
	}
	found := make([]StageTag, len(tags))
	made := make([]deploy.TagMade, len(tags))
	for i, t := range tags {
		made[i] = deploy.TagMade{Name: t.Name, Created: t.CreatedAt}
	}
	newest, by := rule.Newest(made)
	takes := rule.Matcher()
	for i, t := range tags {
		found[i] = StageTag{Tag: t, Matches: takes(t.Name)}
		if t.Name == newest {
			found[i].Newest, found[i].NewestBy = true, by
		}
	}
	return found, nil
}

type validateStageInput struct {
	Body struct {
		Project string           `json:"project,omitempty" maxLength:"64"`
		Stage   string           `json:"stage,omitempty" maxLength:"64"`
		Spec    deploy.StageSpec `json:"spec"`
	}
}

// Validation is what saving a stage's settings would say.
type Validation struct {
	Spec   deploy.StageSpec `json:"spec" doc:"With every default filled in"`
	Errors []Flaw           `json:"errors" doc:"Empty when the settings are good"`
	Tags   []StageTag       `json:"tags" doc:"The tags of the project's image; empty without a project"`
	// A registry that does not answer is no flaw of the settings.
	TagsError string `json:"tags_error,omitempty" doc:"Why the tags of an image in another registry could not be listed"`
}

func (a *API) validateStage(ctx context.Context, in *validateStageInput) (*output[Validation], error) {
	spec, err := a.deploy.CheckStage(ctx, in.Body.Project, in.Body.Stage, in.Body.Spec, allowances(ctx)...)
	v := Validation{Spec: spec, Errors: []Flaw{}, Tags: []StageTag{}}
	if err != nil {
		p := problemOf(err)
		if len(p.Errors) == 0 {
			return nil, err
		}
		v.Errors = p.Errors
	}
	if in.Body.Project != "" {
		v.Tags, err = a.matchingTags(ctx, in.Body.Project, spec.Tags)
		if k := fault.KindOf(err); k == fault.Denied || k == fault.NotNow || k == fault.TooOften {
			v.Tags, v.TagsError, err = []StageTag{}, fault.Message(err), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return answer(v), nil
}
