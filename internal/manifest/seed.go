package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"berth/internal/fault"
	"berth/internal/identity"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// seeder is who applies a seed in the events.
const seeder = "berth"

// Seed applies a file to a server that is new: one without projects, that was
// never seeded. On any other it does nothing and does not read the file. What is
// sealed in the file is opened with key, a private key of age. The error
// says what is wrong with the file; nothing is kept of it then.
func (s *Service) Seed(ctx context.Context, path string, key secret.Text) error {
	switch fresh, err := s.fresh(ctx); {
	case err != nil:
		return err
	case !fresh:
		s.log.InfoContext(ctx, "not seeded: this server has been set up", "path", path)
		return nil
	}
	raw, err := readSeed(path)
	if err != nil {
		return err
	}
	if err := s.seed(ctx, path, raw, key); err != nil {
		// Whoever starts a server reads its errors on a terminal.
		if fault.KindOf(err) != fault.Internal {
			return fmt.Errorf("%s: %s", path, fault.Message(err))
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readSeed(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

func (s *Service) seed(ctx context.Context, path string, raw []byte, key secret.Text) error {
	doc, err := Parse(raw)
	if err != nil {
		return err
	}
	r := Request{Document: raw, Administrator: true, By: identity.Local()}
	if doc.HasSealed() {
		if key.Empty() {
			return errors.New("it has sealed secrets: BERTH_SEED_IDENTITY_FILE names the private key of age that opens them")
		}
		var keys []age.Identity
		if keys, err = Identities(key); err != nil {
			return fmt.Errorf("BERTH_SEED_IDENTITY: %w", err)
		}
		if r.Values, err = doc.Open(keys); err != nil {
			return err
		}
	}
	wanted, from, err := s.wanted(ctx, r)
	if err != nil {
		return err
	}
	var plan Plan
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if plan, err = s.save(ctx, tx, seeder, wanted, from, r); err != nil {
			return err
		}
		if err := setSeeded(ctx, tx, s.clock()); err != nil {
			return err
		}
		return s.note(ctx, tx, seeder, plan, path)
	})
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "seeded", "path", path, "changes", len(plan.Changes))
	for _, note := range plan.Notes {
		s.log.WarnContext(ctx, "seeded, but look at this", "path", path, "what", note)
	}
	return nil
}

// fresh says whether a server has no project and was never seeded.
func (s *Service) fresh(ctx context.Context) (bool, error) {
	have, err := s.deploy.Configuration(ctx)
	if err != nil || len(have) > 0 {
		return false, err
	}
	var seeded bool
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		seeded, err = wasSeeded(ctx, tx)
		return err
	})
	return !seeded, err
}
