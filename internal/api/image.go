package api

import (
	"context"
	"fmt"
	"math"

	"berth/internal/registry"
	"berth/internal/secret"
)

func (a *API) listImages(ctx context.Context, in *Page) (*listOutput[registry.Repository], error) {
	found, next, err := a.registry.Repositories(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	return list(found, next), nil
}

// RepositoryQuery names a repository, which may hold slashes.
type RepositoryQuery struct {
	Repository string `query:"repository" required:"true" minLength:"1" maxLength:"255"`
}

func (a *API) removeImage(ctx context.Context, in *RepositoryQuery) (*struct{}, error) {
	return nil, a.registry.RemoveRepository(ctx, callerOf(ctx).actor(), in.Repository)
}

type listImageTagsInput struct {
	RepositoryQuery
	Page
}

// listImageTags gives the tag that was put last first.
func (a *API) listImageTags(ctx context.Context, in *listImageTagsInput) (*listOutput[registry.Tag], error) {
	found, err := a.registry.Tags(ctx, in.Repository)
	if err != nil {
		return nil, err
	}
	return part(found, in.Page, func(t registry.Tag) string {
		return fmt.Sprintf("%016x %s", math.MaxInt64-t.UpdatedAt.UnixMilli(), t.Name)
	}), nil
}

type removeImageTagInput struct {
	RepositoryQuery
	Tag string `query:"tag" required:"true" minLength:"1" maxLength:"128"`
}

func (a *API) removeImageTag(ctx context.Context, in *removeImageTagInput) (*struct{}, error) {
	return nil, a.registry.RemoveTag(ctx, callerOf(ctx).actor(), in.Repository, in.Tag)
}

func (a *API) listRegistries(ctx context.Context, _ *struct{}) (*listOutput[registry.RegistryAccount], error) {
	found, err := a.resolver.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type setRegistryInput struct {
	Host string `path:"host" maxLength:"255"`
	Body struct {
		Username string      `json:"username" maxLength:"255"`
		Password secret.Text `json:"password" maxLength:"65536"`
		Insecure bool        `json:"insecure,omitempty" doc:"Speak plain HTTP; only for registries on a network of your own"`
		Version  *int64      `json:"version,omitempty" minimum:"0" doc:"The version that was seen, 0 for an account that is not there; 409 when it has moved. Without it, whatever is there is replaced."`
		// PollInterval is checked by its type.
		PollInterval *registry.Interval `json:"poll_interval,omitempty" doc:"How often its images are looked at: a time from 30s to 168h, off, or nothing for 5m. What it is stays when it is absent"`
	}
}

func (a *API) setRegistry(ctx context.Context, in *setRegistryInput) (*struct{}, error) {
	account := registry.RegistryAccount{Host: in.Host, Username: in.Body.Username, Insecure: in.Body.Insecure}
	if in.Body.PollInterval != nil {
		account.PollInterval = *in.Body.PollInterval
	} else if err := a.keepPollInterval(ctx, &account); err != nil {
		return nil, err
	}
	return nil, a.resolver.SetAccount(ctx, callerOf(ctx).actor(), in.Body.Version, account, in.Body.Password)
}

// keepPollInterval takes the interval that the account has.
func (a *API) keepPollInterval(ctx context.Context, account *registry.RegistryAccount) error {
	host, err := registry.NormalHost(account.Host)
	if err != nil {
		return err
	}
	accounts, err := a.resolver.Accounts(ctx)
	for _, have := range accounts {
		if have.Host == host {
			account.PollInterval = have.PollInterval
		}
	}
	return err
}

type registryInput struct {
	Host string `path:"host" maxLength:"255"`
}

func (a *API) removeRegistry(ctx context.Context, in *registryInput) (*struct{}, error) {
	return nil, a.resolver.RemoveAccount(ctx, callerOf(ctx).actor(), in.Host)
}
