package registry

import (
	"encoding/json"
	"time"

	"berth/internal/fault"
)

// Interval is how long lies between two polls of a repository. Its zero value
// is the usual time, 5 minutes; Never is no polling. JSON and text spell it
// "10m0s", "" and "off".
type Interval time.Duration

// Never is the Interval of what is not polled.
const Never Interval = -1

const (
	usualInterval    = 5 * time.Minute
	shortestInterval = 30 * time.Second
	longestInterval  = 7 * 24 * time.Hour
	off              = "off"
)

func (i Interval) String() string {
	switch i {
	case 0:
		return ""
	case Never:
		return off
	}
	return time.Duration(i).String()
}

// MarshalText spells the interval.
func (i Interval) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText takes "", "off" and what time.ParseDuration takes, from 30
// seconds to 7 days.
func (i *Interval) UnmarshalText(b []byte) error {
	switch string(b) {
	case "":
		*i = 0
		return nil
	case off:
		*i = Never
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil || d < shortestInterval || d > longestInterval {
		return fault.Invalid("%q is not an interval: write a time from 30s to 168h such as 10m, off, or nothing for 5m", b)
	}
	*i = Interval(d)
	return nil
}

// UnmarshalJSON is UnmarshalText of a string.
func (i *Interval) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	return i.UnmarshalText([]byte(text))
}

// usual is the interval with its default, 0 for none.
func (i Interval) usual() time.Duration {
	switch i {
	case 0:
		return usualInterval
	case Never:
		return 0
	}
	return time.Duration(i)
}
