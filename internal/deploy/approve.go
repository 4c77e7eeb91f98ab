package deploy

import (
	"context"
	"errors"

	"berth/internal/fault"
	"berth/internal/sqlite"
)

// Approve has a held deployment begin. The faults: Forbidden for the one who
// asked, where another person's word is needed; Conflict when it is not held
// (any more), or when the stage does not take it by the rule of today.
func (s *Service) Approve(ctx context.Context, actor, id string) (Deployment, error) {
	var d deployment
	err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if d, err = findDeployment(ctx, tx, id); err != nil {
			return err
		}
		if err := approvable(d, actor); err != nil {
			return err
		}
		st, err := stageByID(ctx, tx, d.stageID)
		if err != nil {
			return err
		}
		if st.Paused != nil {
			return st.Paused.refusal(st.Project, st.Name)
		}
		if err := s.mayTake(ctx, tx, st, d); err != nil {
			return err
		}
		d.State, d.ApprovedBy, d.ApprovedAt = Waiting, actor, s.now()
		if ok, err := approve(ctx, tx, d); err != nil || !ok {
			return errors.Join(err, unless(ok, errTaken))
		}
		if err := s.supersede(ctx, tx, d); err != nil {
			return err
		}
		told := d
		told.Actor = actor
		if err := s.emitDeployment(ctx, tx, told); err != nil {
			return err
		}
		tx.OnCommit(func() { s.deployLater(st.ID) })
		return withSteps(ctx, tx, []*deployment{&d})
	})
	return d.Deployment, err
}

// approvable says why somebody may not approve a deployment.
func approvable(d deployment, actor string) error {
	switch {
	case d.State != Held && d.ApprovedBy != "":
		return fault.Conflict("%s approved this deployment already; it is %s", d.ApprovedBy, d.told)
	case d.State != Held:
		return fault.Conflict("this deployment waits for nobody's approval: it is %s", d.told)
	case d.Approval == ApprovalOther && d.Actor == actor:
		return fault.Forbidden("you asked for this deployment, so another person has to approve it")
	}
	return nil
}
