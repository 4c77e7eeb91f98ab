package webhook

import (
	"context"
	"net/http"
	"strings"

	"berth/internal/fault"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
)

// MaxBody bounds what is sent to a webhook, in bytes.
const MaxBody = 1 << 20

// maxPending bounds the deliveries that wait to be written down.
const maxPending = 512

// Incoming is a request to a webhook's address, as it came.
type Incoming struct {
	Source  Source
	Token   secret.Text
	Header  http.Header
	Body    []byte
	Address string // where it came from, without a port
}

// Receive takes a delivery, and returns when it is written down; what it hints
// at is looked up later. Its faults: NotFound (no such webhook), TooOften,
// Unauthenticated (its signature or secret is wrong), Invalid (its body is),
// Unavailable. An event that concerns nobody is no fault.
func (s *Service) Receive(ctx context.Context, in Incoming) (Delivery, error) {
	h, err := s.identify(ctx, in)
	if err != nil {
		return Delivery{}, err
	}
	d := s.newDelivery(h, eventOf(products[h.Source], in.Header), in.Header.Get("Content-Type"))
	d.Size = int64(len(in.Body))
	failure, err := s.examine(ctx, h, &d, in)
	if err != nil {
		return Delivery{}, err
	}
	if err := s.store(ctx, h, &d); err != nil {
		return Delivery{}, err
	}
	s.meter.count(h.Source, d.Verdict)
	s.tell(ctx, h, d)
	return d, failure
}

// identify finds the webhook by the hash of the token: how long that takes
// tells nothing of the tokens there are.
func (s *Service) identify(ctx context.Context, in Incoming) (h Webhook, err error) {
	hash := hashOf(in.Token)
	err = s.db.Read(ctx, func(tx *sqlite.Tx) error {
		h, err = webhookByToken(ctx, tx, hash)
		return err
	})
	if err == nil && h.Source == in.Source {
		if wait := s.limits.delivery(h.ID, s.clock()); wait > 0 {
			return h, fault.Often("this webhook brings too many deliveries").After(wait)
		}
		return h, nil
	}
	if err != nil && fault.KindOf(err) != fault.Missing {
		return h, err
	}
	if wait := s.limits.guess(in.Address, s.clock()); wait > 0 {
		return h, fault.Often("too many requests to webhooks that are not there").After(wait)
	}
	return h, errNoWebhook
}

var errNoWebhook = fault.NotFound("there is no such webhook")

// examine fills in what a delivery says, or why it is refused, which is the
// failure that the sender is told of.
func (s *Service) examine(ctx context.Context, h Webhook, d *Delivery, in Incoming) (failure, err error) {
	if h.Secret {
		key, err := s.secrets.Get(ctx, SlotContext, h.ID)
		if err != nil {
			return nil, fault.Unavailable("the secret of this webhook can't be read").Because(err)
		}
		if !verify(products[h.Source], in.Header, in.Body, key) {
			d.Verdict, d.Reason = Refused, "its signature or secret is missing or wrong"
			return fault.SignIn("the signature or the secret of this delivery is missing or wrong"), nil
		}
	}
	if len(in.Body) <= keepPayload {
		d.payload = in.Body
	}
	if failure = d.readBody(h, in.Body); failure != nil {
		d.refuse(failure)
	}
	return failure, nil
}

func (s *Service) newDelivery(h Webhook, event, mediaType string) Delivery {
	now := s.now()
	return Delivery{
		ID: sqlite.NewID(now), Webhook: h.ID, At: now, Hints: []registry.Hint{},
		Event: bounded(event, maxEvent), header: bounded(event, maxEvent), mediaType: bounded(mediaType, maxEvent),
	}
}

// eventOf finds the event's name in the headers of a source.
func eventOf(p product, header http.Header) string {
	for _, name := range p.events {
		if said := header.Get(name); said != "" {
			return said
		}
	}
	return ""
}

// read reads a delivery's own payload.
func (d *Delivery) read(h Webhook) error { return d.readBody(h, d.payload) }

func (d *Delivery) readBody(h Webhook, body []byte) error {
	parsed, err := Parse(h.Source, d.header, d.mediaType, body, h.Registry)
	d.Hints = append([]registry.Hint{}, parsed.Hints...)
	if parsed.Event != "" {
		d.Event = bounded(parsed.Event, maxEvent)
	}
	if err == nil && len(parsed.Hints) == 0 {
		d.Verdict, d.Reason, d.usual = Ignored, bounded(parsed.Ignored, maxReason), parsed.Usual
	}
	return err
}

func (d *Delivery) refuse(err error) {
	d.Verdict, d.Reason = Refused, bounded(fault.Message(err), maxReason)
}

// bounded cuts what strangers send to what is kept of it.
func bounded(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}

// waiting is a delivery on its way to the store.
type waiting struct {
	webhook  Webhook
	delivery *Delivery
	err      error
	written  bool
}

// store writes a delivery down, and hands on its hints, in one transaction
// with all those that came meanwhile: so a flood costs few writes.
func (s *Service) store(ctx context.Context, h Webhook, d *Delivery) error {
	own := &waiting{webhook: h, delivery: d}
	s.mu.Lock()
	if len(s.pending) >= maxPending {
		s.mu.Unlock()
		return fault.Unavailable("too many deliveries wait to be written down")
	}
	s.pending = append(s.pending, own)
	s.mu.Unlock()

	s.flushing.Lock()
	defer s.flushing.Unlock()
	if own.written {
		return own.err // another one has written it
	}
	s.mu.Lock()
	batch := s.pending
	s.pending = nil
	s.mu.Unlock()
	err := s.write(context.WithoutCancel(ctx), batch)
	for _, one := range batch {
		one.err, one.written = err, true
	}
	return err
}

func (s *Service) write(ctx context.Context, batch []*waiting) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		full := map[string]bool{}
		for _, one := range batch {
			d := one.delivery
			if d.Verdict == "" {
				concern, err := s.hinter.Hint(ctx, tx, one.webhook.Project, d.Hints)
				if err != nil {
					return err
				}
				d.judge(len(concern))
			}
			if _, err := findWebhook(ctx, tx, d.Webhook); fault.KindOf(err) == fault.Missing {
				continue // removed meanwhile
			} else if err != nil {
				return err
			}
			if err := insertDelivery(ctx, tx, *d); err != nil {
				return err
			}
			full[d.Webhook] = true
		}
		for id := range full {
			for pushless, keep := range map[bool]int{false: keepDeliveries, true: keepPushless} {
				if err := deleteDeliveriesBeyond(ctx, tx, id, pushless, keep); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// judge says what becomes of a delivery by how many of its hints concern
// anybody.
func (d *Delivery) judge(concern int) {
	if concern > 0 {
		d.Verdict, d.Reason = Accepted, ""
		return
	}
	names := make([]string, 0, 4)
	for _, h := range d.Hints[:min(3, len(d.Hints))] {
		names = append(names, h.String())
	}
	if len(d.Hints) > 3 {
		names = append(names, "…")
	}
	d.Verdict, d.Reason = Ignored, bounded("no stage takes "+strings.Join(names, ", "), maxReason)
}

func (s *Service) tell(ctx context.Context, h Webhook, d Delivery) {
	attributes := []any{"webhook", h.Name, "source", string(h.Source), "event", d.Event, "delivery", d.ID}
	switch d.Verdict {
	case Accepted:
		s.log.DebugContext(ctx, "webhook delivery accepted", attributes...)
	case Ignored:
		if d.usual {
			s.log.DebugContext(ctx, "webhook delivery tells of no push", append(attributes, "reason", d.Reason)...)
			return
		}
		s.log.InfoContext(ctx, "webhook delivery ignored", append(attributes, "reason", d.Reason)...)
	case Refused:
		s.log.WarnContext(ctx, "webhook delivery refused", append(attributes, "reason", d.Reason)...)
	}
}
