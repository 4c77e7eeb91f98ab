package identity

import (
	"context"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Bounds hold an API token to one project, or to one stage of it.
type Bounds struct {
	Project string `json:"project" minLength:"1" maxLength:"64" doc:"The one project that the token is for"`
	Stage   string `json:"stage,omitempty" maxLength:"64" doc:"The one stage that it is for; every stage of the project when absent"`
	// Repository is the project's image: the one repository of the built-in
	// registry that the token is for, where the image is there.
	Repository string `json:"-"`
}

func (b *Bounds) String() string {
	if b.Stage == "" {
		return b.Project
	}
	return b.Project + "/" + b.Stage
}

// On is what an action is on: a stage, a project with all its stages, or a
// repository of the built-in registry. The zero On is Berth as a whole.
type On struct {
	Project    string
	Stage      string
	Repository string
}

// hold says whether an action stays within the bounds. What is not named here
// does not.
func (b *Bounds) hold(a Action, on On) bool {
	switch a {
	case ActionOneself, ActionEndToken:
		return true
	case ActionRead:
		return b.reachStage(on) || b.reachRepository(on)
	case ActionDeploy:
		return b.reachStage(on)
	case ActionPush, ActionPull:
		return b.reachRepository(on)
	case ActionEdit, ActionAdminister, ActionOwnAccount, ActionOwnFactors, ActionExec, ActionReveal:
	}
	return false
}

func (b *Bounds) reachStage(on On) bool {
	return b.Project != "" && on.Project == b.Project && (b.Stage == "" || on.Stage == b.Stage)
}

func (b *Bounds) reachRepository(on On) bool {
	return b.Repository != "" && on.Repository == b.Repository
}

// EndBoundTokens removes, in tx, the API tokens that are bound to a project or
// a stage, by its id, which is about to be removed.
func (s *Service) EndBoundTokens(ctx context.Context, tx *sqlite.Tx, actor, id string) error {
	bound, err := tokensBoundTo(ctx, tx, id)
	if err != nil {
		return err
	}
	for _, one := range bound {
		if err := s.removeToken(ctx, tx, actor, one, "removed with "+one.Bounds.String()); err != nil {
			return err
		}
	}
	return nil
}

// boundIDs finds what bounds name.
func boundIDs(ctx context.Context, tx *sqlite.Tx, b *Bounds) (ids bounded, err error) {
	if b == nil {
		return ids, nil
	}
	if ids, err = findBounds(ctx, tx, *b); err != nil {
		return ids, err
	}
	switch {
	case !ids.project.Valid:
		return ids, fault.InvalidFields([]fault.Field{{Name: "bounds.project", Message: "names no project there is"}})
	case b.Stage != "" && !ids.stage.Valid:
		return ids, fault.InvalidFields([]fault.Field{{Name: "bounds.stage", Message: "names no stage of " + b.Project}})
	}
	return ids, nil
}
