package deploy

// Action is what a deployment does next: one of its steps, or the end of it.
type Action string

// The actions that are not steps of the journal.
const (
	Undo   Action = "undo"   // take away what was made: it failed or was canceled
	Finish Action = "finish" // nothing is left to do
)

// Situation is all that Plan looks at: what the journal says of a deployment
// and what was seen in the engine.
type Situation struct {
	State    State
	Canceled bool // a person asked for its end
	// Pointed says that the stage's route was given to it, which is when it
	// can no longer be undone, only completed.
	Pointed bool
	Done    map[StepName]bool // steps that the journal says are over
	Image   bool              // its image is in the engine
	// Canary, Guard, Before and After say that its release asks for these steps.
	Canary, Guard, Before, After bool
	// Instances has one entry for each instance wanted.
	Instances []Observation
}

// Observation is what was seen of one instance.
type Observation struct {
	Exists  bool // its container is there, and is its own
	Running bool
	Ready   bool // it answered its probe since this process began to look
}

// Plan decides what a deployment does next. It looks at facts before it looks
// at the journal: after a crash the journal says how far it came, and the
// containers what is left of it.
func Plan(s Situation) Action {
	switch {
	case s.State == Failed || s.State == Canceled || s.State == Superseded || s.State == Reverted:
		return Undo
	case s.Pointed:
		return planPointed(s)
	case s.State != Waiting && s.State != Running:
		return Finish
	case s.Canceled:
		return Undo
	case !s.Done[Preflight]:
		return Action(Preflight)
	case !s.Image:
		return Action(PullImage)
	case s.Before && !s.Done[BeforeStep]:
		return Action(BeforeStep)
	case !s.every(func(o Observation) bool { return o.Exists }):
		return Action(CreateStep)
	case !s.every(func(o Observation) bool { return o.Running }):
		return Action(StartStep)
	case !s.every(func(o Observation) bool { return o.Ready }):
		return Action(ProbeStep)
	case s.Canary && !s.Done[CanaryStep]:
		return Action(CanaryStep)
	}
	return Action(SwitchRoute)
}

// planPointed completes what can't be undone.
func planPointed(s Situation) Action {
	for _, step := range []StepName{SwitchRoute, GuardStep, AfterStep, DrainOld, StopOld} {
		if !s.Done[step] && (step != GuardStep || s.Guard) && (step != AfterStep || s.After) {
			return Action(step)
		}
	}
	return Finish
}

func (s Situation) every(is func(Observation) bool) bool {
	for _, o := range s.Instances {
		if !is(o) {
			return false
		}
	}
	return len(s.Instances) > 0
}
