package deploy

import (
	"context"
	"maps"
	"slices"

	"berth/internal/sqlite"
)

// SavedProject is a project with its stages as they are saved, whatever runs.
type SavedProject struct {
	Project
	Stages []Stage
}

// Configuration gives all projects with their stages by their names, of one
// moment.
func (s *Service) Configuration(ctx context.Context) (list []SavedProject, err error) {
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		projects, err := listProjects(ctx, tx, "", -1)
		if err != nil {
			return err
		}
		stages, err := allStages(ctx, tx)
		if err != nil {
			return err
		}
		list = make([]SavedProject, len(projects))
		byID := make(map[string]*SavedProject, len(projects))
		for n, p := range projects {
			list[n] = SavedProject{Project: p, Stages: []Stage{}}
			byID[p.ID] = &list[n]
		}
		for _, st := range stages {
			p := byID[st.projectID]
			p.Stages = append(p.Stages, st.Stage)
		}
		return nil
	})
	return list, err
}

// NormalImage gives a project's image as it is saved.
func (s *Service) NormalImage(image string) string { return s.withoutOwnHost(image) }

// Differences gives the fields that differ between two configurations as they
// are saved, by their paths in the API.
func Differences(from, to StageSpec) []Change { return differing(flatten(from), flatten(to)) }

// differing gives the fields whose texts differ, by their names.
func differing(before, after map[string]string) []Change {
	every := maps.Clone(before)
	maps.Copy(every, after)
	changes := []Change{}
	for _, field := range slices.Sorted(maps.Keys(every)) {
		if before[field] != after[field] {
			changes = append(changes, Change{field, before[field], after[field]})
		}
	}
	return changes
}

// Lined is one field of several configurations.
type Lined struct {
	Field string `json:"field"` // its path in the API
	// Values are by the stage; one that does not set the field is not in it.
	// A secret is told by its slot.
	Values map[string]string `json:"values"`
	Same   bool              `json:"same"`
}

// LineUp gives each field that one of the stages sets, as they are saved.
func LineUp(stages ...Stage) []Lined {
	byField := map[string]map[string]string{}
	for _, st := range stages {
		for field, value := range flatten(st.Spec) {
			if byField[field] == nil {
				byField[field] = map[string]string{}
			}
			byField[field][st.Name] = value
		}
	}
	list := make([]Lined, 0, len(byField))
	for _, field := range slices.Sorted(maps.Keys(byField)) {
		values := byField[field]
		same := len(values) == len(stages)
		for _, value := range values {
			same = same && value == values[stages[0].Name]
		}
		list = append(list, Lined{Field: field, Values: values, Same: same})
	}
	return list
}

// VolumeNames gives what the volumes of a stage are known by.
func VolumeNames(project, stage string, spec StageSpec) []string {
	names := make([]string, len(spec.Volumes))
	for n, v := range spec.Volumes {
		names[n] = volumeName(project, stage, v)
	}
	return names
}
