package event

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"berth/internal/sqlite"
)

// Category is what an audit event is about. Events that are no decision of
// anybody's, such as what an instance did, have none and are not listed as
// audit; the chain holds them like all others.
type Category string

// The categories.
const (
	SignIns       Category = "sign-in"
	Sessions      Category = "sessions"
	People        Category = "people"
	Groups        Category = "groups"
	Tokens        Category = "tokens"
	Secrets       Category = "secrets"
	Access        Category = "access"
	Providers     Category = "providers"
	Factors       Category = "factors"
	Exec          Category = "exec"
	Configuration Category = "configuration"
	Deployments   Category = "deployments"
	Audit         Category = "audit"
)

// Categories are all of them, in the order that screens show.
var Categories = []Category{
	SignIns, Sessions, Factors, People, Groups, Tokens, Secrets, Access, Providers, Exec, Configuration, Deployments, Audit,
}

// nouns says what the kinds that begin with a noun are about: the one place
// that decides what is audit. A noun that is not here, or is here with "", has
// no category; a test asks for each kind there is to be one or the other.
var nouns = map[string]Category{
	"signin":           SignIns,
	"session":          Sessions,
	"factor":           Factors,
	"person":           People,
	"identity":         People,
	"group":            Groups,
	"administrators":   People,
	"token":            Tokens,
	"secret":           Secrets,
	"vault":            Secrets,
	"grant":            Secrets,
	"registry_account": Secrets,
	"access":           Access,
	"provider":         Providers,
	"exec":             Exec,
	"project":          Configuration,
	"stage":            Configuration,
	"route":            Configuration,
	"maintenance":      Configuration,
	"volume":           Configuration,
	"webhook":          Configuration,
	"channel":          Configuration,
	"manifest":         Configuration,
	"key":              Configuration,
	"setting":          Configuration,
	"image":            Deployments, // pushed, found and removed: what can be deployed
	"deployment":       Deployments,
	"job":              Deployments,
	"audit":            Audit,

	"instance":     "",
	"engine_image": "",
	"source":       "",
	"disk":         "",
	"notification": "",
}

// asides are kinds without a category though their noun has one: they tell of
// the way, not of the decision.
var asides = []Kind{DeploymentLog, "deployment.step"}

// Category says what a kind is about; "" when it is no audit event.
func (k Kind) Category() Category {
	if slices.Contains(asides, k) {
		return ""
	}
	noun, _, _ := strings.Cut(string(k), ".")
	return nouns[noun]
}

// Record is an event as the audit shows it.
type Record struct {
	Event
	Category Category `json:"category,omitempty"`
	Position int64    `json:"position,omitempty" doc:"Its place in the chain, counted from 1; absent of an event from before the chain began"`
	Hash     string   `json:"hash,omitempty" doc:"The chain up to and with this event, in hexadecimal"`
}

// Records lists up to limit events with an id below before (0: from the
// newest), newest first. A limit of 0 means Batch.
func (l *Log) Records(ctx context.Context, before int64, f Filter, limit int) (list []Record, err error) {
	err = l.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = recordsBefore(ctx, tx, before, f, orBatch(limit))
		return err
	})
	return list, err
}

// Export gives every event that f chooses and that there is now, oldest first.
// It reads a batch at a time: however many there are, it holds no more.
func (l *Log) Export(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		upTo, err := l.Last(ctx)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for after := int64(0); ; {
			var batch []Record
			err := l.db.Read(ctx, func(tx *sqlite.Tx) (err error) {
				batch, err = recordsBetween(ctx, tx, after, upTo, f, Batch)
				return err
			})
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range batch {
				if !yield(r, nil) {
					return
				}
				after = r.ID
			}
			if len(batch) < Batch {
				return
			}
		}
	}
}

// audited are the conditions of a filter that the audit alone asks for.
func (f Filter) audited(add func(condition string, values ...any)) {
	if len(f.Categories) > 0 {
		var of []string
		for noun, c := range nouns {
			if c != "" && slices.Contains(f.Categories, c) {
				of = append(of, noun)
			}
		}
		// By no index of kinds: the newest few are asked for, and those are
		// found soonest in the order of the ids.
		marks, args := sqlite.Placeholders(of)
		add("substr(kind, 1, instr(kind, '.') - 1) IN ("+marks+")", args...)
		marks, args = sqlite.Placeholders(asides)
		add(notLogLine)
		add("kind NOT IN ("+marks+")", args...)
	}
	if f.Actor != "" {
		add("actor = ? COLLATE NOCASE", f.Actor)
	}
	if f.Person != "" {
		add("(actor = ? COLLATE NOCASE OR data ->> '$.username' = ? COLLATE NOCASE)", f.Person, f.Person)
	}
	if !f.From.IsZero() {
		add("at >= ?", sqlite.Millis(f.From))
	}
	if !f.Until.IsZero() {
		add("at < ?", sqlite.Millis(f.Until))
	}
	if f.Text != "" {
		like := "%" + escapeLike.Replace(f.Text) + "%"
		add(`(kind || ' ' || actor || ' ' || project || ' ' || stage || ' ' || deployment || ' ' || data) LIKE ? ESCAPE '\'`, like)
	}
}

var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// broken is the kind of the event that keeps what pruning found to be wrong
// with the events it removed, so that it does not go with them.
const broken Kind = "audit.broken"

// finding is its data.
type finding struct {
	Event int64     `json:"event,omitempty"`
	Why   string    `json:"why"`
	Until time.Time `json:"until"` // the newest event removed with it
}
