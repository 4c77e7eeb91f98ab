package deploy

import "time"

// Maintenance is what a stage answers while it is worked on.
type Maintenance struct {
	Message string `json:"message,omitempty"` // plain text; a sentence of Berth's own when empty
	// RetryAfter is when clients are told to ask again, in whole seconds.
	RetryAfter Duration  `json:"retry_after"`
	By         string    `json:"by"`
	Since      time.Time `json:"since"`
}
