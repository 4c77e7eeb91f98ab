package gateway

// meter counts what passes through one stage's route.
type meter struct {
	stageID, project, stage string
}

func newMeter(stageID, project, stage string) *meter { return &meter{stageID, project, stage} }
