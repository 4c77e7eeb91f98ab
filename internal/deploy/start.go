package deploy

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"berth/internal/container"
	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/sqlite"
)

// StartRequest asks for a deployment.
type StartRequest struct {
	Project   string
	Stage     string
	Reference string // a tag, or "sha256:…"; "latest" when empty
	Trigger   Trigger
	Actor     string
}

// digestForm is a digest that an image is named by.
var digestForm = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

// Start asks for a deployment of an image and returns when that is written
// down. An older request that still waits is superseded.
func (s *Service) Start(ctx context.Context, r StartRequest) (Deployment, error) {
	return s.ask(ctx, r.Project, r.Stage, func(_ *sqlite.Tx, st stage) (deployment, error) {
		reference, err := cleanReference(st.image, s.withoutOwnHost(r.Reference))
		return deployment{Deployment: Deployment{Kind: KindDeploy, Reference: reference, Trigger: r.Trigger, Actor: r.Actor}}, err
	})
}

// Redeploy asks for the live image again, with the configuration that is
// saved now; fault.Conflict when nothing is live.
func (s *Service) Redeploy(ctx context.Context, actor, project, stageName string, t Trigger) (Deployment, error) {
	return s.ask(ctx, project, stageName, func(tx *sqlite.Tx, st stage) (deployment, error) {
		if st.LiveDeployment == "" {
			return deployment{}, fault.Conflict("nothing is live in %s/%s yet; deploy an image first", project, stageName)
		}
		live, err := deploymentByID(ctx, tx, st.LiveDeployment)
		if err != nil {
			return deployment{}, err
		}
		return deployment{Deployment: Deployment{
			Kind: KindRedeploy, Reference: live.Reference, Release: live.Release, Digest: live.Digest, Trigger: t, Actor: actor,
		}}, nil
	})
}

// Rollback asks for an earlier release, image and configuration, out of the
// engine; fault.Conflict when its image is no longer there. Where instances of
// it still run, unused, the stage is given back to them at once, and what is
// returned is their deployment.
func (s *Service) Rollback(ctx context.Context, actor, project, stageName, releaseID string, t Trigger) (Deployment, error) {
	var st stage
	var back release
	err := s.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
		if st, err = findStage(ctx, tx, project, stageName); err != nil {
			return err
		}
		back, err = findRelease(ctx, tx, st, releaseID)
		return err
	})
	if err != nil {
		return Deployment{}, err
	}
	if st.Paused != nil {
		return Deployment{}, st.Paused.refusal(project, stageName)
	}
	if d, ok, err := s.rollBackWarm(ctx, actor, st, back); ok || err != nil {
		return d.asTold(), err
	}
	s.picking.RLock() // until it is written down, nothing shows that the image is needed
	defer s.picking.RUnlock()
	if _, err := s.imageOf(ctx, back); err != nil {
		return Deployment{}, err
	}
	return s.ask(ctx, project, stageName, func(*sqlite.Tx, stage) (deployment, error) {
		return deployment{Deployment: Deployment{
			Kind: KindRollback, Reference: referenceIn(back.Reference), Release: back.ID, Digest: back.Digest, Trigger: t, Actor: actor,
		}}, nil
	})
}

// imageOf finds a release's image in the engine.
func (s *Service) imageOf(ctx context.Context, r release) (container.Image, error) {
	gone := fault.Conflict("the image of %s (%s) is no longer in the container engine; deploy it again from the registry", r.Reference, short(r.Digest))
	if r.imageID == "" {
		return container.Image{}, gone
	}
	image, err := s.runtime.Image(ctx, r.imageID)
	if errors.Is(err, container.ErrNotFound) {
		return image, gone
	}
	if err != nil {
		return image, engineAway(err)
	}
	return image, nil
}

// ask writes a deployment and its event down, and wakes the stage's worker.
func (s *Service) ask(ctx context.Context, project, stageName string, fill func(*sqlite.Tx, stage) (deployment, error)) (Deployment, error) {
	var d deployment
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		st, err := findStage(ctx, tx, project, stageName)
		if err != nil {
			return err
		}
		if d, err = fill(tx, st); err != nil {
			return err
		}
		d, err = s.request(ctx, tx, st, d)
		return err
	})
	if err != nil {
		return Deployment{}, err
	}
	return d.Deployment, nil
}

// request completes d as the newest deployment of st, stores it, supersedes
// what gives way to it, and has the worker woken when tx commits. What needs
// somebody's approval is held, and what others asked for goes on meanwhile.
// What the stage does not take is a fault.
func (s *Service) request(ctx context.Context, tx *sqlite.Tx, st stage, d deployment) (_ deployment, err error) {
	if err := s.mayTake(ctx, tx, st, d); err != nil {
		return d, err
	}
	if st.Paused != nil {
		return d, st.Paused.refusal(st.Project, st.Name)
	}
	now := s.now()
	d.ID, d.stageID, d.Project, d.Stage = sqlite.NewID(now), st.ID, st.Project, st.Name
	d.State, d.CreatedAt = Waiting, now
	if d.Approval != ApprovalNone {
		d.State = Held
	}
	if d.Generation, err = nextGeneration(ctx, tx, st.ID); err != nil {
		return d, err
	}
	if err := s.supersede(ctx, tx, d); err != nil {
		return d, err
	}
	if err := insertDeployment(ctx, tx, d); err != nil {
		return d, err
	}
	if err := s.emitDeployment(ctx, tx, d); err != nil {
		return d, err
	}
	tx.OnCommit(func() { s.deployLater(st.ID) })
	return d, withSteps(ctx, tx, []*deployment{&d})
}

// supersede ends what gives way to d.
func (s *Service) supersede(ctx context.Context, tx *sqlite.Tx, d deployment) error {
	older, err := givesWay(ctx, tx, d)
	if err != nil {
		return err
	}
	for _, o := range older {
		if err := s.conclude(ctx, tx, o, Superseded); err != nil {
			return err
		}
	}
	return nil
}

// conclude ends a deployment that never began.
func (s *Service) conclude(ctx context.Context, tx *sqlite.Tx, d deployment, end State) error {
	from := d.State
	d.State, d.FinishedAt = end, s.now()
	if _, err := moveDeployment(ctx, tx, d, from); err != nil {
		return err
	}
	return s.emitDeployment(ctx, tx, d)
}

// Cancel stops a deployment that is not live yet, and has undone what it did;
// fault.Conflict when it is too late.
func (s *Service) Cancel(ctx context.Context, actor, id string) error {
	running := false
	err := s.db.Write(ctx, func(tx *sqlite.Tx) error {
		d, err := findDeployment(ctx, tx, id)
		if err != nil {
			return err
		}
		switch d.State {
		case Held, Waiting:
			d.Actor, d.canceledBy = actor, actor
			return s.conclude(ctx, tx, d, Canceled)
		case Running:
			if running, err = askToCancel(ctx, tx, id, actor); err != nil {
				return err
			}
			if running {
				return s.events.Append(ctx, tx, event.Event{
					Kind: event.DeploymentLog, Actor: actor, Project: d.Project, Stage: d.Stage, Deployment: d.ID,
				}, logData{Stream: streamBerth, Text: "asked to cancel by " + actor})
			}
			return fault.Conflict("the route already points to this deployment; roll back to undo it")
		case Live:
			return fault.Conflict("this deployment is live already; roll back to undo it")
		case Replaced, Failed, Canceled, Superseded, Reverted:
		}
		return fault.Conflict("this deployment is over: it is %s", d.State)
	})
	if err == nil && running {
		s.jobs.cancel(id, errCanceled)
	}
	return err
}

// cleanReference gives the tag or digest that a person asked for: "1.4",
// "sha256:…", or either with the project's own repository before it.
func cleanReference(repository, asked string) (string, error) {
	asked = strings.TrimSpace(asked)
	for _, separator := range []string{":", "@"} {
		if rest, ok := strings.CutPrefix(asked, repository+separator); ok {
			asked = rest
			break
		}
	}
	if asked == "" {
		return "latest", nil
	}
	if !digestForm.MatchString(asked) && !tagForm.MatchString(asked) {
		return "", fault.InvalidFields([]fault.Field{{Name: "reference", Message: "it is a tag of " + repository + ", such as \"1.4\", or a digest, \"sha256:…\""}})
	}
	return asked, nil
}

// referenceIn gives what follows the repository in "repository:tag" or
// "repository@sha256:…"; "" when nothing does.
func referenceIn(s string) string {
	if _, digest, ok := strings.Cut(s, "@"); ok {
		return digest
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") {
		return ""
	}
	return s[i+1:]
}

// short gives a digest as people compare it.
func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}
