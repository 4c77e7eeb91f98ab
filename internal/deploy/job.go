package deploy

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a machine, or Berth's own image, may have no time zones

	"github.com/netresearch/go-cron"

	"berth/internal/fault"
)

// Job is a command that a stage runs by a schedule, in a container of its own:
// one of the live release's image, with its variables, secrets, volumes and
// limits. It counts as soon as it is saved.
type Job struct {
	Name       string   `json:"name"`
	Schedule   string   `json:"schedule,omitempty"`  // "30 3 * * *", "@daily", "@every 6h"; empty: only when somebody asks
	TimeZone   string   `json:"time_zone,omitempty"` // "Europe/Berlin"; "UTC" by default
	Command    []string `json:"command,omitempty"`   // instead of the image's CMD
	Entrypoint []string `json:"entrypoint,omitempty"`
	Timeout    Duration `json:"timeout,omitempty"` // "1h" by default; then it is ended
	Overlap    Overlap  `json:"overlap,omitempty"` // "skip" by default
}

// Overlap is what becomes of a run that is due while another of its job runs.
type Overlap string

// The ways to overlap.
const (
	OverlapSkip  Overlap = "skip"  // it does not run
	OverlapQueue Overlap = "queue" // it waits for the other's end; one at most does
	OverlapAllow Overlap = "allow" // they run beside each other
)

// The bounds of jobs.
const (
	maxJobs        = 20
	defaultJobTime = Duration(time.Hour)
	defaultZone    = "UTC"
	maxRunsAtOnce  = 5  // of a job that allows it
	keptRuns       = 50 // of each job
)

// schedules reads five fields or a word such as @daily; what runs more often
// than once a minute is no job.
var schedules = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).WithMinEveryInterval(time.Minute)

func (j Job) task() Task { return Task{j.Command, j.Entrypoint, j.Timeout} }

func (j Job) normalise() Job {
	j.Schedule, j.TimeZone = strings.Join(strings.Fields(j.Schedule), " "), strings.TrimSpace(j.TimeZone)
	j.TimeZone = orElse(j.TimeZone, defaultZone)
	j.Timeout = orElse(j.Timeout, defaultJobTime)
	j.Overlap = orElse(j.Overlap, OverlapSkip)
	return j
}

// NextRuns gives the next times, in its time zone, that a schedule comes to
// after now. It is empty of one that is empty.
func NextRuns(schedule, timeZone string, now time.Time, count int) (times []time.Time, err error) {
	j := Job{Schedule: schedule, TimeZone: timeZone}.normalise()
	for at := now; len(times) < count && j.Schedule != ""; {
		if at, err = j.next(at); err != nil {
			field := "schedule"
			if errors.Is(err, errZone) {
				field = "time_zone"
			}
			return nil, fault.InvalidFields([]fault.Field{{Name: field, Message: err.Error()}})
		}
		times = append(times, at)
	}
	return times, nil
}

// errZone says what is wrong with a time zone, as against a schedule.
var errZone = errors.New(`it is a time zone such as "Europe/Berlin", or "UTC"`)

// next gives when a job is due after now, in its time zone; the zero time when
// only somebody's asking runs it. A time that the clocks skip is taken
// as much later, and one that they come to twice is taken once, unless the
// schedule is for every hour.
func (j Job) next(now time.Time) (time.Time, error) {
	if j.Schedule == "" {
		return time.Time{}, nil
	}
	zone, err := time.LoadLocation(j.TimeZone)
	if err != nil || j.TimeZone == "Local" {
		return time.Time{}, errZone
	}
	if strings.Contains(j.Schedule, "TZ=") {
		return time.Time{}, errors.New("the time zone is a field of its own")
	}
	s, err := schedules.Parse(j.Schedule)
	if err != nil {
		return time.Time{}, fmt.Errorf(`it is no schedule such as "30 3 * * *" or "@daily": %w`, err)
	}
	at := s.Next(now.In(zone))
	for j.namesItsHour() && again(at) {
		at = s.Next(at)
	}
	if at.IsZero() {
		return at, errors.New("it never comes")
	}
	return at, nil
}

// namesItsHour says that a schedule is for certain hours of the day, and not
// for each or every so many.
func (j Job) namesItsHour() bool {
	fields := strings.Fields(j.Schedule)
	if len(fields) == 5 {
		return !strings.Contains(fields[1], "*")
	}
	return !strings.HasPrefix(j.Schedule, "@every") && j.Schedule != "@hourly"
}

// again says that the clocks have shown a time before on the same day: they
// were put back meanwhile, by an hour or, on Lord Howe Island, by half of one.
func again(at time.Time) bool {
	for _, back := range []time.Duration{time.Hour, 30 * time.Minute} {
		if at.Add(-back).Format(time.DateTime) == at.Format(time.DateTime) {
			return true
		}
	}
	return false
}

func (c *checks) jobs(list []Job) {
	c.when(len(list) > maxJobs, "spec.jobs", "there are at most %d jobs", maxJobs)
	names := map[string]bool{}
	for i, j := range list {
		field := fmt.Sprintf("spec.jobs[%d]", i)
		c.name(field+".name", j.Name)
		c.when(names[j.Name], field+".name", "there is another job named %q", j.Name)
		names[j.Name] = true
		c.when(j.task().none(), field+".command", "it is the command to run")
		c.task(field, j.task())
		c.when(j.Overlap != OverlapSkip && j.Overlap != OverlapQueue && j.Overlap != OverlapAllow, field+".overlap",
			"it is %q, %q or %q", OverlapSkip, OverlapQueue, OverlapAllow)
		switch _, err := j.next(time.Now()); {
		case errors.Is(err, errZone):
			c.add(field+".time_zone", "%s", err)
		case err != nil:
			c.add(field+".schedule", "%s", err)
		}
	}
}

// job finds a job of a stage.
func (s StageSpec) job(name string) (Job, bool) {
	for _, j := range s.Jobs {
		if j.Name == name {
			return j, true
		}
	}
	return Job{}, false
}
