package api

import (
	"context"

	"berth/internal/identity"
)

func (a *API) listGroups(ctx context.Context, _ *struct{}) (*listOutput[identity.Group], error) {
	found, err := a.identity.Groups(ctx)
	if err != nil {
		return nil, err
	}
	return list(found, ""), nil
}

type createGroupInput struct {
	Body struct {
		Name        string   `json:"name" minLength:"1" maxLength:"64" example:"ops"`
		Description string   `json:"description,omitempty" maxLength:"1200"`
		Members     []string `json:"members,omitempty" maxItems:"10000" doc:"Usernames"`
	}
}

func (a *API) createGroup(ctx context.Context, in *createGroupInput) (*output[identity.Group], error) {
	g, err := a.identity.CreateGroup(ctx, callerOf(ctx).actor(), identity.Group{
		Name: in.Body.Name, Description: in.Body.Description, Members: in.Body.Members,
	})
	if err != nil {
		return nil, err
	}
	return answer(g), nil
}

// GroupPath names a group in a path.
type GroupPath struct {
	Group string `path:"group" maxLength:"64"`
}

func (a *API) getGroup(ctx context.Context, in *GroupPath) (*output[identity.Group], error) {
	g, err := a.identity.Group(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	return answer(g), nil
}

type updateGroupInput struct {
	GroupPath
	Body struct {
		Version     int64     `json:"version" doc:"The version that was seen; 409 when it has moved"`
		Description *string   `json:"description,omitempty" maxLength:"1200"`
		Members     *[]string `json:"members,omitempty" maxItems:"10000" doc:"Usernames: all who are to be in it"`
	}
}

func (a *API) updateGroup(ctx context.Context, in *updateGroupInput) (*output[identity.Group], error) {
	g, err := a.identity.UpdateGroup(ctx, callerOf(ctx).actor(), in.Group, in.Body.Version, identity.GroupEdit{
		Description: in.Body.Description, Members: in.Body.Members,
	})
	if err != nil {
		return nil, err
	}
	return answer(g), nil
}

func (a *API) removeGroup(ctx context.Context, in *GroupPath) (*struct{}, error) {
	return nil, a.identity.RemoveGroup(ctx, callerOf(ctx).actor(), in.Group)
}
