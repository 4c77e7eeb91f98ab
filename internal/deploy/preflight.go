package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/container"
	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/sqlite"
)

const (
	preflightTime = 2 * time.Minute
	pullTime      = time.Hour
	// unpacked is how much larger than its download an image is taken to be
	// on the disk, at most; margin is what must be left beside it.
	unpacked = 3
	margin   = 256 << 20
)

// preflight finds out what will run, and everything that would keep it from
// running, before anything is touched.
func (a *attempt) preflight(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, preflightTime)
	defer stop()
	err := a.s.db.Read(ctx, func(tx *sqlite.Tx) error { return a.s.mayTake(ctx, tx, a.stage, a.d) })
	if err != nil {
		return err // asked for before the stage was told to promote
	}
	if a.s.diskFull != nil && a.d.Kind != KindRollback {
		if err := a.s.diskFull(ctx); err != nil {
			return err
		}
	}
	a.pick()
	info, err := a.s.engine.info(ctx, a.s.runtime)
	if err != nil {
		return err
	}
	resolve := map[Kind]func(context.Context, container.Info) (registry.Resolution, error){
		KindDeploy: a.resolve, KindRedeploy: a.resolveAgain, KindRollback: a.resolveEarlier, KindPromote: a.resolveAgain,
	}[a.d.Kind]
	found, err := resolve(ctx, info)
	if err != nil {
		return err
	}
	exposed := found.ExposedPorts
	if a.image.ID != "" {
		exposed = a.image.Ports
	}
	port, err := containerPort(a.release.Spec, exposed)
	if err != nil {
		return err
	}
	if _, err := a.s.environment(ctx, a.release.Spec); err != nil {
		return err
	}
	if _, err := a.s.mountsOf(a.d.Project, a.d.Stage, a.release.Spec, nil); err != nil {
		return err
	}
	if err := a.s.volumesOwn(ctx, a.d.Project, a.d.Stage, a.release.Spec); err != nil {
		return err
	}
	if a.image.ID == "" {
		if err := headroom(info, found.Size); err != nil {
			return err
		}
	}
	if err := a.addressFree(ctx); err != nil {
		return err
	}
	a.say("%s is %s; requests go to its port %d", a.release.Reference, short(a.release.Digest), port)
	a.later(a.keepRelease)
	if a.image.ID != "" {
		a.leave(StepDone)
		a.skip(PullImage, "the image is in the container engine already")
	}
	return nil
}

// pick has keeping house wait: until the release is stored, nothing shows that
// its image is needed.
func (a *attempt) pick() {
	if a.picked == nil {
		a.s.picking.RLock()
		a.picked = a.s.picking.RUnlock
	}
}

// hasPicked lets keeping house go on.
func (a *attempt) hasPicked() {
	if a.picked != nil {
		a.picked()
		a.picked = nil
	}
}

// keepRelease stores the release that the preflight found, or finds it to be
// one that is known.
func (a *attempt) keepRelease(ctx context.Context, tx *sqlite.Tx) error {
	id, err := saveRelease(ctx, tx, a.release)
	if err != nil {
		return err
	}
	a.release.ID, a.d.Release = id, id
	if a.image.ID != "" {
		// Of a pull that ended with the process before this one.
		if err := setPulled(ctx, tx, a.release.Digest, a.image.ID); err != nil {
			return err
		}
	}
	return setRelease(ctx, tx, a.d.ID, id)
}

// resolve asks where the images come from what the reference is now. What
// somebody approved is the image that was found, wherever its tag points now.
func (a *attempt) resolve(ctx context.Context, info container.Info) (registry.Resolution, error) {
	if a.d.Approval == ApprovalNone || a.d.Digest == "" {
		return a.resolveFrom(ctx, info, a.stage.image, a.d.Reference)
	}
	found, err := a.resolveFrom(ctx, info, a.stage.image, a.d.Digest)
	a.release.Reference = a.d.Reference
	return found, err
}

// resolveAgain takes the image that was named when this was asked for (what
// was live, here or where it is promoted from), from the engine when it is
// there, else by its digest: wherever its tag points by now, it is that image.
func (a *attempt) resolveAgain(ctx context.Context, info container.Info) (registry.Resolution, error) {
	_, err := a.resolveEarlier(ctx, info)
	if err == nil {
		return registry.Resolution{}, a.configure(a.stage.Spec)
	}
	if fault.KindOf(err) != fault.Clash {
		return registry.Resolution{}, err
	}
	reference := a.release.Reference
	found, err := a.resolveFrom(ctx, info, a.release.repository, a.release.Digest)
	a.release.Reference = reference
	return found, err
}

// resolveEarlier takes a release as it was, from the engine.
func (a *attempt) resolveEarlier(ctx context.Context, _ container.Info) (found registry.Resolution, err error) {
	a.image, err = a.s.imageOf(ctx, a.release)
	return found, err
}

func (a *attempt) resolveFrom(ctx context.Context, info container.Info, repository, reference string) (registry.Resolution, error) {
	found, err := a.s.images.Resolve(ctx, repository, reference, registry.Platform{OS: info.OS, Arch: info.Arch, Variant: info.Variant})
	if err != nil {
		return found, fmt.Errorf("find the image: %w", err)
	}
	a.release = release{
		Release: Release{Reference: found.Reference, Digest: found.Digest}, stageID: a.stage.ID, repository: repository, imageCreated: found.Created,
	}
	if err := a.configure(a.stage.Spec); err != nil {
		return found, err
	}
	// An engine knows an image by the digest of its configuration, or, when
	// it keeps images as containerd does, by that of its manifest.
	for _, id := range []string{found.ConfigDigest, found.Digest} {
		image, err := a.s.runtime.Image(ctx, id)
		if err == nil {
			a.image, a.release.imageID = image, image.ID
			return found, nil
		}
		if !errors.Is(err, container.ErrNotFound) {
			return found, engineAway(err)
		}
	}
	return found, nil
}

// configure makes a release of the image found and a configuration.
func (a *attempt) configure(spec StageSpec) (err error) {
	now := a.s.now()
	a.release.ID, a.release.CreatedAt, a.release.Spec = sqlite.NewID(now), now, spec
	a.release.SpecHash, err = spec.hash()
	return err
}

// addressFree says whether another stage has the address that the release
// will be reached at. A roll back may bring one back that was given away, and
// an edit may have taken one that is still served.
func (a *attempt) addressFree(ctx context.Context) error {
	spec := a.release.Spec
	return a.s.db.Read(ctx, func(tx *sqlite.Tx) error {
		by, err := addressTaken(ctx, tx, spec.Hostname, spec.PathPrefix, a.stage.ID)
		if err == nil && by != "" {
			err = fault.Conflict("%s is the address of %s", spec.Hostname+spec.PathPrefix, by)
		}
		if err != nil {
			return err
		}
		return a.noRouteBeside(ctx, tx)
	})
}

// noRouteBeside says whether the release is at the host of a fixed route, by an
// address that the stage does not have: a release may be older than the route,
// and nobody was told of it when that was made.
func (a *attempt) noRouteBeside(ctx context.Context, tx *sqlite.Tx) error {
	spec := a.release.Spec
	route, err := routeBeside(ctx, tx, a.stage.ID, spec)
	if err == nil && route != "" {
		err = fault.Conflict("%s is the host of the route %s, and %s is not the stage's address any more: have an administrator save it for the stage first",
			spec.Hostname, route, spec.Hostname+spec.PathPrefix)
	}
	return err
}

// headroom says whether an image of that many compressed bytes fits where the
// engine keeps its images. It knows nothing of an engine whose folder is not
// on this machine.
func headroom(info container.Info, compressed int64) error {
	if info.DataDir == "" {
		return nil
	}
	if _, err := os.Stat(info.DataDir); err != nil {
		return nil //nolint:nilerr // it is not here, or not for us to see
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(info.DataDir, &disk); err != nil {
		return nil //nolint:nilerr // the pull will say it when it is full
	}
	free := int64(disk.Bavail) * disk.Bsize //nolint:gosec // disks are smaller than 8 EiB
	if need := compressed*unpacked + margin; free < need {
		return fault.Unavailable("the disk is too full: the image may need %d MiB in %s, where %d MiB are free", need>>20, info.DataDir, free>>20)
	}
	return nil
}

// pull has the engine fetch the image, by its digest.
func (a *attempt) pull(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, pullTime)
	defer stop()
	from, err := a.s.images.Pull(ctx, a.release.repository, a.release.Digest)
	if err != nil {
		return fmt.Errorf("find out how to pull the image: %w", err)
	}
	// Stored before it is done: what is pulled is Berth's to remove, also when
	// this process does not live to see it.
	fetched := pull{reference: from.Reference, digest: a.release.Digest, at: a.s.now()}
	if err := a.commit(ctx, func(tx *sqlite.Tx) error { return savePull(ctx, tx, fetched) }); err != nil {
		return err
	}
	a.image, err = a.s.runtime.Pull(ctx, from, a.progress(ctx))
	if err != nil {
		return fault.Unavailable("the container engine could not pull %s: %s", a.release.Reference, engineWords(err)).Because(err)
	}
	a.release.imageID = a.image.ID
	a.later(func(ctx context.Context, tx *sqlite.Tx) error {
		if err := setPulled(ctx, tx, a.release.Digest, a.image.ID); err != nil {
			return err
		}
		return setImageID(ctx, tx, a.release.ID, a.image.ID)
	})
	return nil
}

// The bounds of what a pull writes into the log.
const (
	progressEvery = 300 * time.Millisecond
	progressLines = 500
)

// progress takes a pull's lines into the log, now and then as it goes on.
func (a *attempt) progress(ctx context.Context) func(string) {
	stored, lines := a.s.clock(), 0
	return func(text string) {
		if lines++; lines > progressLines {
			return
		}
		a.line(streamPull, text)
		if now := a.s.clock(); now.Sub(stored) > progressEvery {
			stored = now
			// What fails here is stored, or fails, at the end of the step.
			_ = a.commit(ctx, func(*sqlite.Tx) error { return nil })
		}
	}
}

// engineWords gives the innermost error, which is what the engine itself said.
func engineWords(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
