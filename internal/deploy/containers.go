package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/internal/container"
	"berth/internal/fault"
)

// The labels of Berth's containers and volumes.
const (
	labelServer     = "berth.server" // which Berth, where several share an engine
	labelProject    = "berth.project"
	labelStage      = "berth.stage"
	labelDeployment = "berth.deployment"
	labelGeneration = "berth.generation"
	labelInstance   = "berth.instance"
	labelCommand    = "berth.command" // of a one-off container: the step, or the job, that it is for
	labelRun        = "berth.run"     // of a job
)

// engineAway is the fault for an engine that did not do what it was asked.
func engineAway(err error) error {
	return fault.Unavailable("the container engine does not answer").Because(err)
}

// recipe is everything that the containers of a deployment are made from.
type recipe struct {
	deployment deployment
	release    release
	imageID    string
	port       int
	env        map[string]string // secrets included: never stored, never logged
	mounts     []container.Mount
}

// recipe resolves what a release needs to run: its image's port and its
// secrets, as they are now.
func (s *Service) recipe(ctx context.Context, d deployment, r release, image container.Image) (recipe, error) {
	port, err := containerPort(r.Spec, image.Ports)
	if err != nil {
		return recipe{}, err
	}
	env, err := s.environment(ctx, r.Spec)
	if err != nil {
		return recipe{}, err
	}
	known, err := s.copies(ctx, "")
	if err != nil {
		return recipe{}, err
	}
	mounts, err := s.mountsOf(d.Project, d.Stage, r.Spec, known)
	if err != nil {
		return recipe{}, err
	}
	if err := s.ensureVolumes(ctx, d.Project, d.Stage, r.Spec, known); err != nil {
		return recipe{}, err
	}
	return recipe{deployment: d, release: r, imageID: image.ID, port: port, env: env, mounts: mounts}, nil
}

// environment gives the variables of a stage's containers.
func (s *Service) environment(ctx context.Context, spec StageSpec) (map[string]string, error) {
	env := make(map[string]string, len(spec.Env)+len(spec.Secrets))
	maps.Copy(env, spec.Env)
	var trouble checks
	for name, ref := range spec.Secrets {
		value, err := s.secrets.Get(ctx, ref.Context, ref.Name)
		switch {
		case fault.KindOf(err) == fault.Missing:
			trouble.add("spec.secrets."+name, "there is no secret %q in %q", ref.Name, ref.Context)
		case err != nil:
			return nil, fmt.Errorf("read the secret of variable %s: %w", name, err)
		}
		env[name] = value.Reveal()
	}
	return env, fault.InvalidFields(trouble)
}

// create makes the container of an instance and gives its id.
func (s *Service) create(ctx context.Context, r recipe, i Instance) (id string, err error) {
	d := r.deployment
	c := s.like(r)
	c.Name = fmt.Sprintf("berth-%s-%s-%d-%d", d.Project, d.Stage, d.Generation, i.Ordinal)
	c.Labels[labelInstance] = i.ID
	c.Command, c.Publish = r.release.Spec.Command, r.port
	return s.makeContainer(ctx, c, i.ID)
}

// like gives what every container of a deployment has, whatever it runs.
func (s *Service) like(r recipe) container.Spec {
	d, spec := r.deployment, r.release.Spec
	return container.Spec{
		Image: r.imageID,
		Labels: map[string]string{
			labelServer: s.server, labelProject: d.Project, labelStage: d.Stage, labelDeployment: d.ID,
			labelGeneration: strconv.FormatInt(d.Generation, 10),
		},
		Env:    r.env,
		CPUs:   spec.CPUs,
		Memory: spec.Memory,
		Mounts: r.mounts,
		// Berth restarts what died, not the engine: a restart changes the
		// port on some engines, and a route must never point to a port that
		// another container may have been given meanwhile.
		Restart:     container.RestartNo,
		StopTimeout: time.Duration(spec.StopTimeout),
	}
}

// makeContainer makes a container; of is the id of what it is for.
func (s *Service) makeContainer(ctx context.Context, c container.Spec, of string) (id string, err error) {
	id, err = s.createWhole(ctx, c)
	if errors.Is(err, container.ErrConflict) {
		// Somebody else's container has the name: another Berth's, or that
		// of a project and a stage whose names join to the same.
		c.Name += "-" + of[len(of)-8:]
		id, err = s.createWhole(ctx, c)
	}
	if err != nil {
		return "", fmt.Errorf("create container %s: %w", c.Name, err)
	}
	return id, nil
}

// createGrace is how long a container that is being made is waited for when
// nothing wants it any more.
const createGrace = 30 * time.Second

// createWhole has the engine make a container, and once it has begun waits
// past the end of ctx, for createGrace at most: an engine goes on when nobody
// waits, and who looked at once for what to remove would not find what it
// makes after that. When Berth itself stops nobody looks before the next
// start, and nothing is waited for.
func (s *Service) createWhole(ctx context.Context, c container.Spec) (id string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	making, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		why := context.Cause(ctx)
		if !errors.Is(why, errShutdown) {
			pause(making, createGrace, nil)
		}
		stop(why)
	})()
	return s.runtime.Create(making, c)
}

// owns says that c is the container of an instance, by its labels.
func (s *Service) owns(c container.Container, i Instance) bool {
	return c.Labels[labelServer] == s.server && c.Labels[labelDeployment] == i.Deployment && c.Labels[labelInstance] == i.ID
}

// running says that requests may go to a container, as far as the engine
// knows.
func running(c container.Container) bool {
	return c.State == container.StateRunning && c.Address != ""
}

// inspect gives the container of an instance; ErrNotFound in the chain when
// there is none or it is not its own.
func (s *Service) inspect(ctx context.Context, i Instance) (container.Container, error) {
	if i.Container == "" {
		return container.Container{}, container.ErrNotFound
	}
	c, err := s.runtime.Inspect(ctx, i.Container)
	if err != nil {
		return c, fmt.Errorf("inspect container %s: %w", i.Container, err)
	}
	if !s.owns(c, i) {
		return c, fmt.Errorf("container %s is not instance %s: %w", i.Container, i.ID, container.ErrNotFound)
	}
	return c, nil
}

// startTries bounds how often a container is made anew because its port was
// taken between the engine's choice and the start.
const startTries = 5

// start starts an instance's container and gives it as it is then, with the
// address it has since. When something else has taken the port that the engine
// chose, the container is removed and anew is asked for another. log is that of
// i's deployment.
func (s *Service) start(ctx context.Context, log *slog.Logger, i *Instance, anew func(context.Context) error) (container.Container, error) {
	for try := 1; ; try++ {
		err := s.runtime.Start(ctx, i.Container)
		if err == nil {
			return s.inspect(ctx, *i)
		}
		if !errors.Is(err, container.ErrConflict) || try == startTries {
			return container.Container{}, fmt.Errorf("start container %s: %w", i.Container, err)
		}
		log.InfoContext(ctx, "port taken before the container started; making another", "instance", i.ID)
		if err := s.runtime.Remove(ctx, i.Container); err != nil {
			return container.Container{}, fmt.Errorf("remove container %s: %w", i.Container, err)
		}
		if err := anew(ctx); err != nil {
			return container.Container{}, err
		}
	}
}

// containersOf lists the containers of a deployment.
func (s *Service) containersOf(ctx context.Context, deploymentID string) ([]container.Container, error) {
	list, err := s.runtime.List(ctx, map[string]string{labelServer: s.server, labelDeployment: deploymentID})
	if err != nil {
		return nil, fmt.Errorf("list the containers of deployment %s: %w", deploymentID, err)
	}
	return list, nil
}

// clear stops the containers of a deployment, giving each that runs grace to
// end by itself, and removes them. No grace kills.
func (s *Service) clear(ctx context.Context, deploymentID string, grace time.Duration) error {
	list, err := s.containersOf(ctx, deploymentID)
	if err != nil {
		return err
	}
	return s.removeAll(ctx, list, grace)
}

func (s *Service) removeAll(ctx context.Context, list []container.Container, grace time.Duration) error {
	var group errgroup.Group
	group.SetLimit(maxReplicas)
	for _, c := range list {
		group.Go(func() error {
			if grace > 0 && c.State != container.StateCreated && c.State != container.StateExited {
				if err := s.runtime.Stop(ctx, c.ID, grace); err != nil && !errors.Is(err, container.ErrNotFound) {
					return fmt.Errorf("stop container %s: %w", c.Name, err)
				}
			}
			if err := s.removeContainer(ctx, c); err != nil {
				return fmt.Errorf("remove container %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// ended says, for a person, how a container came to its end.
func ended(c container.Container, spec StageSpec) string {
	switch {
	case c.Error != "":
		return "could not be started: " + c.Error
	case c.OOMKilled && spec.Memory > 0:
		return fmt.Sprintf("was ended for using more memory than its limit of %d MiB", spec.Memory>>20)
	case c.OOMKilled:
		return "was ended because the machine ran out of memory"
	}
	return "exited with code " + strconv.Itoa(c.ExitCode)
}
