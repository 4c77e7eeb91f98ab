package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"berth/internal/event"
)

// Notice is what an event says to people: plain text of one or two lines.
type Notice struct {
	Kind       Kind      `json:"kind"`
	Level      Level     `json:"level"`
	At         time.Time `json:"at"`
	Project    string    `json:"project,omitempty"`
	Stage      string    `json:"stage,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Instance   string    `json:"instance,omitempty"`
	Release    string    `json:"release,omitempty"` // as it was asked for: a tag or a digest
	Actor      string    `json:"actor,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Title      string    `json:"title"`
	Text       string    `json:"text"`
	Path       string    `json:"path"` // the dashboard's page about it

	about string        // what is not told again within quiet; "" is told each time
	quiet time.Duration // counted from what was told
}

// Level is how much a notice matters.
type Level string

// The levels.
const (
	Good Level = "good" // as it was meant to be
	Ask  Level = "ask"  // somebody has to do something
	Bad  Level = "bad"
)

// The kinds of events that say something to people. They belong to the
// packages that write them.
const (
	deploymentState event.Kind = "deployment.state"
	deploymentWarn  event.Kind = "deployment.warning"
	instanceState   event.Kind = "instance.state"
	jobFailed       event.Kind = "job.failed"
	sourceFailing   event.Kind = "source.failing"
	sourceRecovered event.Kind = "source.recovered"
	signInFailed    event.Kind = "signin.failed"
	diskLow         event.Kind = "disk.low"
	diskRecovered   event.Kind = "disk.recovered"
	projectRemoved  event.Kind = "project.removed"
)

// followed are those, and those on which channels themselves depend.
var followed = []event.Kind{
	deploymentState, deploymentWarn, instanceState, jobFailed, sourceFailing, sourceRecovered, signInFailed, diskLow, diskRecovered, projectRemoved,
}

// noticeOf decides what an event says to people; false when it says nothing.
// recent are the events of its kind up to it, the newest first, where one
// alone says nothing. It is a pure function of its arguments.
func noticeOf(e event.Event, recent []event.Event) (Notice, bool) {
	n := Notice{
		At: e.At, Project: e.Project, Stage: e.Stage, Deployment: e.Deployment, Instance: e.Instance, Actor: clean(e.Actor, 100),
	}
	switch e.Kind {
	case deploymentState:
		return n.ofDeployment(e.Data)
	case deploymentWarn:
		return n.ofWarning(e.Data)
	case instanceState:
		return n.ofInstance(e.Data)
	case jobFailed:
		return n.ofJob(e.Data)
	case sourceFailing, sourceRecovered:
		return n.ofSource(e.Data, e.Kind == sourceRecovered)
	case diskLow, diskRecovered:
		return n.ofDisk(e.Data, e.Kind == diskRecovered)
	case signInFailed:
		return n.ofSignIns(recent)
	case event.DeploymentLog: // who wants to read along follows it
	}
	return Notice{}, false
}

// deploymentData is what of a deployment.state event is told.
type deploymentData struct {
	State      string `json:"state"`
	Kind       string `json:"kind"`
	Trigger    string `json:"trigger"`
	Generation int64  `json:"generation"`
	Reference  string `json:"reference"`
	Error      string `json:"error"`
	FailedStep string `json:"failed_step"`
	Approval   string `json:"approval"` // "other": of another person than who asked
	Source     struct {
		Stage string `json:"stage"`
	} `json:"source"` // of a promotion
}

func (n Notice) ofDeployment(raw json.RawMessage) (Notice, bool) {
	var d deploymentData
	if json.Unmarshal(raw, &d) != nil {
		return Notice{}, false
	}
	n.Release, n.Reason = release(d.Reference), clean(d.Error, 500)
	n.Path = "/deployments/" + n.Deployment
	place := n.Project + " " + n.Stage
	who := fmt.Sprintf("Deployment %d, %s.", d.Generation, started(d, n.Actor))
	switch d.State {
	case "live":
		n.Kind, n.Level, n.Title, n.Text = DeploymentLive, Good, fmt.Sprintf("%s: %s is live", place, n.Release), who
		if d.Kind == "rollback" {
			n.Kind, n.Level, n.Title = DeploymentRolledBack, Ask, fmt.Sprintf("%s: rolled back to %s", place, n.Release)
		}
	case "failed":
		n.Kind, n.Level = DeploymentFailed, Bad
		n.Title = fmt.Sprintf("%s: %s failed", place, n.Release)
		if d.FailedStep != "" {
			n.Title += " at " + d.FailedStep
		}
		n.Text = lines(sentence(n.Reason), who)
	case "reverted":
		n.Kind, n.Level, n.Title = DeploymentRolledBack, Ask, fmt.Sprintf("%s: %s was rolled back", place, n.Release)
		if d.FailedStep == "guard" {
			n.Level, n.Title = Bad, fmt.Sprintf("%s: %s was taken back by the guard", place, n.Release)
		}
		if d.FailedStep == "after_switch" {
			n.Level, n.Title = Bad, fmt.Sprintf("%s: %s was taken back after its command failed", place, n.Release)
		}
		reason := sentence(n.Reason)
		if n.Actor != "" && strings.HasPrefix(n.Reason, n.Actor+" ") {
			reason = n.Reason + "." // a name is spelled as it is
		}
		n.Text = lines(reason, fmt.Sprintf("The release before it serves again. Deployment %d.", d.Generation))
	case "held":
		n.Kind, n.Level = DeploymentHeld, Ask
		n.Title = fmt.Sprintf("%s: %s waits for approval", place, n.Release)
		if d.Approval == "other" {
			n.Reason = "somebody other than who asked for it has to approve it"
		}
		n.Text = lines(sentence(n.Reason), who)
	default:
		return Notice{}, false
	}
	return n, true
}

// started says who or what asked for a deployment.
func started(d deploymentData, actor string) string {
	by := ""
	if actor != "" {
		by = " by " + actor
	}
	switch {
	case d.Source.Stage != "":
		return "promoted from " + clean(d.Source.Stage, 100) + by
	case d.Trigger == "push" && actor != "":
		return "started by a push of " + actor
	case d.Trigger == "push":
		return "started by a push"
	case d.Trigger == "webhook", d.Trigger == "poll":
		return "started because its image changed"
	}
	return "started" + by
}

// ofWarning tells of a release that is live and not as it should be. It is for
// those who want to hear of deployments that fail.
func (n Notice) ofWarning(raw json.RawMessage) (Notice, bool) {
	var d deploymentData
	if json.Unmarshal(raw, &d) != nil {
		return Notice{}, false
	}
	n.Release, n.Reason, n.Actor = release(d.Reference), clean(d.Error, 500), ""
	n.Kind, n.Level, n.Path = DeploymentFailed, Bad, "/deployments/"+n.Deployment
	n.Title = fmt.Sprintf("%s %s: %s is live, and its command failed", n.Project, n.Stage, n.Release)
	n.Text = lines(sentence(n.Reason), fmt.Sprintf("The release stays live. Deployment %d.", d.Generation))
	return n, true
}

// instanceData is what of an instance.state event is told.
type instanceData struct {
	State   string `json:"state"`
	Detail  string `json:"detail"`
	Ordinal int    `json:"ordinal"`
}

// instanceQuiet is how long a stage whose instances come and go is not told
// of again.
const instanceQuiet = 10 * time.Minute

func (n Notice) ofInstance(raw json.RawMessage) (Notice, bool) {
	var d instanceData
	if json.Unmarshal(raw, &d) != nil || d.State != "down" {
		return Notice{}, false
	}
	n.Actor, n.Reason = "", clean(d.Detail, 500)
	n.Kind, n.Level, n.Path = InstanceDown, Bad, "/projects/"+n.Project+"/stages/"+n.Stage
	n.Title = fmt.Sprintf("%s %s: instance %d is down", n.Project, n.Stage, d.Ordinal+1)
	n.Text = sentence(n.Reason)
	n.about, n.quiet = "instance "+n.Project+" "+n.Stage, instanceQuiet
	return n, true
}

func (n Notice) ofJob(raw json.RawMessage) (Notice, bool) {
	var d struct {
		Job   string `json:"job"`
		Name  string `json:"name"`
		Error string `json:"error"`
	}
	if json.Unmarshal(raw, &d) != nil {
		return Notice{}, false
	}
	name := clean(cmp.Or(d.Job, d.Name, "a job"), 100)
	n.Reason = clean(d.Error, 500)
	n.Kind, n.Level, n.Path = JobFailed, Bad, "/projects/"+n.Project+"/stages/"+n.Stage
	n.Title, n.Text = fmt.Sprintf("%s %s: %s failed", n.Project, n.Stage, name), sentence(n.Reason)
	return n, true
}

func (n Notice) ofSource(raw json.RawMessage, over bool) (Notice, bool) {
	var d struct {
		Repository string `json:"repository"`
		Error      string `json:"error"`
	}
	if json.Unmarshal(raw, &d) != nil || d.Repository == "" {
		return Notice{}, false
	}
	repository := clean(d.Repository, 200)
	n.Actor, n.Reason = "", clean(d.Error, 500)
	n.Kind, n.Level, n.Path = SourceFailing, Bad, "/sources"
	n.Title, n.Text = repository+" can't be watched", lines(sentence(n.Reason), "New images of it are not deployed until this is mended.")
	if over {
		n.Level, n.Title, n.Text = Good, repository+" is watched again", ""
	}
	return n, true
}

func (n Notice) ofDisk(raw json.RawMessage, over bool) (Notice, bool) {
	var d struct {
		Path  string `json:"path"`
		Free  int64  `json:"free"`
		Total int64  `json:"total"`
	}
	if json.Unmarshal(raw, &d) != nil || d.Total <= 0 {
		return Notice{}, false
	}
	n.Actor = ""
	n.Kind, n.Level, n.Path = DiskLow, Bad, "/system"
	n.Title = "Berth: the disk is nearly full"
	n.Text = fmt.Sprintf("%.1f of %.1f GiB are free", float64(d.Free)/(1<<30), float64(d.Total)/(1<<30))
	if d.Path != "" {
		n.Text += " at " + clean(d.Path, 200)
	}
	n.Text += "."
	if over {
		n.Level, n.Title = Good, "Berth: the disk has room again"
	}
	return n, true
}

// Sign-in failures are told when there are so many within so long, and then
// not for a while: a stranger at the door must not fill people's inboxes.
const (
	signInMany   = 5
	signInWithin = 10 * time.Minute
	signInQuiet  = time.Hour
)

func (n Notice) ofSignIns(recent []event.Event) (Notice, bool) {
	if len(recent) < signInMany || recent[0].At.Sub(recent[signInMany-1].At) > signInWithin {
		return Notice{}, false
	}
	var from, accounts []string
	for _, e := range recent[:signInMany] {
		var d struct {
			Username string `json:"username"`
			Address  string `json:"address"`
		}
		if json.Unmarshal(e.Data, &d) != nil {
			continue
		}
		from, accounts = appendNew(from, clean(d.Address, 60)), appendNew(accounts, clean(d.Username, 64))
	}
	n.Actor = ""
	n.Kind, n.Level, n.Path = SignInFailures, Bad, "/activity"
	n.Title = "Berth: many sign-ins failed"
	n.Text = fmt.Sprintf("The last %d within %s", signInMany, spoken(recent[0].At.Sub(recent[signInMany-1].At)))
	if len(accounts) > 0 {
		n.Text += ", for " + strings.Join(accounts, ", ")
	}
	if len(from) > 0 {
		n.Text += ", from " + strings.Join(from, ", ")
	}
	n.Text += "."
	n.about, n.quiet = "signin", signInQuiet
	return n, true
}

// testNotice is what the test button sends.
func testNotice(c Channel, actor string, now time.Time) Notice {
	return Notice{
		Kind: Test, Level: Good, At: now, Project: c.Project, Actor: actor,
		Title: "Berth: a test of " + c.Name,
		Text:  fmt.Sprintf("Asked for by %s. What this channel is told of comes here.", actor),
		Path:  "/notifications",
	}
}

// release gives what people call a release: its tag, or what they compare of a
// digest. The project says already which image it is.
func release(reference string) string {
	reference = clean(reference, 300)
	if _, digest, ok := strings.Cut(reference, "sha256:"); ok {
		return "sha256:" + digest[:min(len(digest), 12)]
	}
	if colon := strings.LastIndex(reference, ":"); colon > strings.LastIndex(reference, "/") {
		reference = reference[colon+1:]
	}
	if reference == "" {
		return "a release"
	}
	return reference
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	runes := []rune(text)
	runes[0] = unicode.ToUpper(runes[0])
	text = string(runes)
	if !strings.ContainsAny(text[len(text)-1:], ".!?") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

func lines(list ...string) string {
	var said []string
	for _, l := range list {
		if l != "" {
			said = append(said, l)
		}
	}
	return strings.Join(said, "\n")
}

func appendNew(list []string, word string) []string {
	if word == "" || slices.Contains(list, word) {
		return list
	}
	return append(list, word)
}

// clean gives one line of at most so many characters, without what a terminal
// or a chat would act on.
func clean(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// spoken rounds a time up to what people say.
func spoken(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d seconds", max(1, int((d+time.Second-1)/time.Second)))
	}
	if minutes := int((d + time.Minute - 1) / time.Minute); minutes > 1 {
		return fmt.Sprintf("%d minutes", minutes)
	}
	return "a minute"
}
