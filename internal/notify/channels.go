package notify

import (
	"context"
	"encoding/json"
	"fmt"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// The kinds of events that this package writes.
const (
	ChannelCreated event.Kind = "channel.created"     // data: ChannelChange
	ChannelUpdated event.Kind = "channel.updated"     // data: ChannelChange
	ChannelRemoved event.Kind = "channel.removed"     // data: ChannelChange
	GivenUp        event.Kind = "notification.failed" // data: Failure
)

// ChannelChange is the data of the events about channels.
type ChannelChange struct {
	Name    string  `json:"name"`
	Service Service `json:"service"`
	Enabled bool    `json:"enabled"`
}

// SlotContext is the context of the slots that hold the addresses. No stage may
// take a variable from it, and nobody sets one but by a channel.
const SlotContext = "berth/notify"

// maxChannels bounds how many there are: an event is held against each.
const maxChannels = 200

// Channels lists channels by name: those of a project, or all when it is "".
func (n *Notifier) Channels(ctx context.Context, project string) (list []Channel, err error) {
	err = n.db.Read(ctx, func(tx *sqlite.Tx) error {
		list, err = selectChannels(ctx, tx, project)
		return err
	})
	return list, err
}

// Channel gives the one of a name; a fault of kind Missing when there is none.
func (n *Notifier) Channel(ctx context.Context, name string) (c Channel, err error) {
	err = n.db.Read(ctx, func(tx *sqlite.Tx) error {
		c, err = findChannel(ctx, tx, name)
		return err
	})
	return c, err
}

// Create adds a channel. For a webhook it gives the secret that its messages
// are signed with, which is shown this once.
func (n *Notifier) Create(ctx context.Context, actor string, made NewChannel) (c Channel, key secret.Text, err error) {
	now := n.now()
	c = Channel{
		ID: sqlite.NewID(now), Name: made.Name, Service: made.Service, Project: made.Project,
		Kinds: ordered(made.Kinds), Enabled: made.Enabled, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	if err := n.check(ctx, c, made.Address, made.Inside); err != nil {
		return Channel{}, secret.Text{}, err
	}
	err = n.db.Write(ctx, func(tx *sqlite.Tx) error {
		switch count, err := countChannels(ctx, tx); {
		case err != nil:
			return err
		case count >= maxChannels:
			return fault.Conflict("there are %d channels already, and no more are kept", count)
		}
		if c, key, err = n.seal(ctx, tx, actor, c, sealed{}, ChannelEdit{Address: made.Address, Inside: made.Inside}); err != nil {
			return err
		}
		err := insertChannel(ctx, tx, c)
		if sqlite.IsUnique(err) {
			return errTaken(c.Name)
		}
		if err != nil {
			return err
		}
		return n.emit(ctx, tx, ChannelCreated, actor, c)
	})
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	return c, key, nil
}

// Update saves an edit of the version that its author saw; fault.Conflict when
// there is a newer one. A new signing secret is given, this once.
func (n *Notifier) Update(ctx context.Context, actor, name string, version int64, e ChannelEdit) (c Channel, key secret.Text, err error) {
	c, err = n.Channel(ctx, name)
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	was, err := n.open(ctx, c)
	if err != nil && e.NewSigningSecret && e.Address.Empty() {
		return Channel{}, secret.Text{}, err
	}
	if e.NewSigningSecret && c.Service != Webhook {
		return Channel{}, secret.Text{}, fault.InvalidFields([]fault.Field{{Name: "new_signing_secret", Message: "only a webhook's messages are signed"}})
	}
	if e.Name != nil {
		c.Name = *e.Name
	}
	if e.Kinds != nil {
		c.Kinds = ordered(e.Kinds)
	}
	if e.Enabled != nil {
		c.Enabled = *e.Enabled
	}
	if err := n.check(ctx, c, e.Address, e.Inside); err != nil {
		return Channel{}, secret.Text{}, err
	}
	c.Version, c.UpdatedAt = version+1, n.now()
	err = n.db.Write(ctx, func(tx *sqlite.Tx) error {
		if c, key, err = n.seal(ctx, tx, actor, c, was, e); err != nil {
			return err
		}
		ok, err := updateChannel(ctx, tx, c)
		switch {
		case sqlite.IsUnique(err):
			return errTaken(c.Name)
		case err != nil:
			return err
		case !ok:
			return fault.Conflict("channel %q was changed meanwhile; look at it again", name)
		}
		return n.emit(ctx, tx, ChannelUpdated, actor, c)
	})
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	n.stir()
	return c, key, nil
}

func errTaken(name string) error { return fault.Conflict("there is a channel named %q already", name) }

// Remove removes a channel, its address and the record of what it was sent.
func (n *Notifier) Remove(ctx context.Context, actor, name string) error {
	return n.db.Write(ctx, func(tx *sqlite.Tx) error {
		c, err := findChannel(ctx, tx, name)
		if err != nil {
			return err
		}
		return n.drop(ctx, tx, actor, c)
	})
}

func (n *Notifier) drop(ctx context.Context, tx *sqlite.Tx, actor string, c Channel) error {
	if err := deleteChannel(ctx, tx, c.ID); err != nil {
		return err
	}
	if err := n.secrets.RemoveIn(ctx, tx, actor, SlotContext, c.ID); err != nil && fault.KindOf(err) != fault.Missing {
		return fmt.Errorf("remove the address of %s: %w", c.Name, err)
	}
	return n.emit(ctx, tx, ChannelRemoved, actor, c)
}

// check says in one fault all that is wrong with a channel.
func (n *Notifier) check(ctx context.Context, c Channel, address secret.Text, inside bool) error {
	wrong := c.validate()
	if !address.Empty() {
		_, err := parseAddress(c.Service, address, inside)
		wrong = append(wrong, fault.FieldsOf(err)...)
	}
	if c.Project != "" {
		known, err := n.projects.HasProject(ctx, c.Project)
		if err != nil {
			return err
		}
		if !known {
			wrong = append(wrong, fault.Field{Name: "project", Message: fmt.Sprintf("there is no project named %q", c.Project)})
		}
	}
	return fault.InvalidFields(wrong)
}

// seal puts what an edit says of the address into the channel's slot, and a
// webhook's signing secret with it, which it gives when it is new. was is what
// the slot had.
func (n *Notifier) seal(ctx context.Context, tx *sqlite.Tx, actor string, c Channel, was sealed, e ChannelEdit) (Channel, secret.Text, error) {
	resign := e.NewSigningSecret && c.Service == Webhook && c.Hint != ""
	if e.Address.Empty() && !resign {
		return c, secret.Text{}, nil
	}
	now := was
	if !e.Address.Empty() {
		a, err := parseAddress(c.Service, e.Address, e.Inside)
		if err != nil {
			return Channel{}, secret.Text{}, err
		}
		now.Address, c.Hint, c.inside = e.Address.Reveal(), a.hint(), e.Inside
	}
	var key secret.Text
	if c.Service == Webhook && (resign || now.Key == "") {
		now.Key = newSigningKey()
		key = secret.New(now.Key)
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	if err := n.secrets.SetIn(ctx, tx, actor, SlotContext, c.ID, secret.New(string(raw))); err != nil {
		return Channel{}, secret.Text{}, fmt.Errorf("keep the address of %s: %w", c.Name, err)
	}
	return c, key, nil
}

// open gives what a channel's slot holds.
func (n *Notifier) open(ctx context.Context, c Channel) (s sealed, err error) {
	if c.Hint == "" {
		return sealed{}, fault.Conflict("channel %q has no address yet: give it one first", c.Name)
	}
	raw, err := n.secrets.Get(ctx, SlotContext, c.ID)
	if err == nil {
		err = json.Unmarshal([]byte(raw.Reveal()), &s)
	}
	if err != nil {
		return sealed{}, fault.Unavailable("the address of channel %q can't be read; give it again", c.Name).Because(err)
	}
	return s, nil
}

func (n *Notifier) emit(ctx context.Context, tx *sqlite.Tx, kind event.Kind, actor string, c Channel) error {
	return n.events.Append(ctx, tx, event.Event{Kind: kind, Actor: actor, Project: c.Project, At: n.now()},
		ChannelChange{Name: c.Name, Service: c.Service, Enabled: c.Enabled})
}
