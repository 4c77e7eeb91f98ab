package notify

import "time"

// Delivery is one message to one channel, and how it went.
type Delivery struct {
	ID       string    `json:"id"`      // goes out with the message: who got it twice knows it by this
	Channel  string    `json:"channel"` // the channel's name
	Service  Service   `json:"service"`
	Notice   Notice    `json:"notice"`
	State    State     `json:"state"`
	Attempts int       `json:"attempts"`
	NextAt   time.Time `json:"next_at,omitzero"` // of a pending one
	Error    string    `json:"error,omitempty"`  // what went wrong last, for a person
	// CreatedAt is when it was asked for, SentAt when it was taken.
	CreatedAt time.Time `json:"created_at"`
	SentAt    time.Time `json:"sent_at,omitzero"`

	channel  Channel
	event    int64     // 0 of a test
	queuedAt time.Time // or asked for again: its age counts from here
}

// State is how far a delivery is.
type State string

// The states.
const (
	Pending State = "pending"
	Sent    State = "sent"
	Failed  State = "failed" // and not tried again, unless somebody asks for it
)

func (s State) String() string { return string(s) }

// The pace of attempts: 15 s, 45 s, 2 min, 7 min, 20 min, then each hour.
const (
	firstRetry   = 15 * time.Second
	retryFactor  = 3
	longestRetry = time.Hour
	mostAttempts = 10
	longestAge   = 24 * time.Hour
)

// backoff is the wait after an attempt that failed. A jitter between 0 and 1
// spreads it over a fifth more, so that many do not come at once.
func backoff(attempts int, jitter float64) time.Duration {
	wait := firstRetry
	for range attempts - 1 {
		wait = min(wait*retryFactor, longestRetry)
	}
	return wait + time.Duration(jitter*float64(wait)/5)
}

// settle decides what becomes of a delivery after an attempt: it was taken, it
// is tried again, or it has failed for good. It is a pure function of its
// arguments; err is what courier.send gave.
func settle(d Delivery, err *sendError, now time.Time, jitter float64) Delivery {
	d.Attempts++
	if err == nil {
		d.State, d.SentAt, d.NextAt, d.Error = Sent, now, time.Time{}, ""
		return d
	}
	d.Error = err.text
	next := now.Add(max(backoff(d.Attempts, jitter), min(err.after, longestRetry)))
	if err.final || d.Attempts >= mostAttempts || next.Sub(d.queuedAt) > longestAge {
		d.State, d.NextAt = Failed, time.Time{}
		return d
	}
	d.State, d.NextAt = Pending, next
	return d
}
