package deploy

import (
	"cmp"
	"context"
	"slices"
	"time"

	"berth/internal/container"
)

// Neighbour is a container in the engine that this Berth did not make. It is
// shown, and never touched.
type Neighbour struct {
	Container string          `json:"container"`
	Name      string          `json:"name"`
	Image     string          `json:"image" doc:"By the name that it was made from, or its id"`
	State     container.State `json:"state" enum:"created,running,paused,restarting,exited,dead"`
	CreatedAt time.Time       `json:"created_at"`
	// Berth is set of a container that another Berth made: its id.
	Berth string `json:"berth,omitempty"`
}

// Neighbours lists the containers that this Berth did not make, those that run
// first, by their names.
func (s *Service) Neighbours(ctx context.Context) ([]Neighbour, error) {
	list, err := s.runtime.List(ctx, nil)
	if err != nil {
		return nil, engineAway(err)
	}
	found := []Neighbour{}
	for _, c := range list {
		if c.Labels[labelServer] != s.server {
			found = append(found, Neighbour{
				Container: c.ID, Name: c.Name, Image: cmp.Or(c.ImageName, c.Image), State: c.State, CreatedAt: c.Created,
				Berth: c.Labels[labelServer],
			})
		}
	}
	slices.SortFunc(found, func(a, b Neighbour) int {
		return cmp.Or(-compareBool(a.State == container.StateRunning, b.State == container.StateRunning), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
