-- notify: channels, how far the event log has been read, and what was sent.

CREATE TABLE notify_channels (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    service    TEXT NOT NULL,
    project    TEXT NOT NULL DEFAULT '', -- its name; '' is all of Berth
    kinds      TEXT NOT NULL, -- a JSON array
    enabled    INTEGER NOT NULL,
    hint       TEXT NOT NULL DEFAULT '', -- what may be shown of the address, which is slot ("berth/notify", id); '' when there is none yet
    inside     INTEGER NOT NULL DEFAULT 0, -- an administrator gave the address: it may be in a private network
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE notify_deliveries (
    id         TEXT PRIMARY KEY,
    channel_id TEXT NOT NULL REFERENCES notify_channels (id) ON DELETE CASCADE,
    event_id   INTEGER NOT NULL DEFAULT 0, -- 0 of a test
    about      TEXT NOT NULL DEFAULT '', -- what is not told again soon
    notice     TEXT NOT NULL, -- notify.Notice as JSON
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL DEFAULT 0, -- of a pending one
    error      TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL, -- or asked for again: what its age counts from
    sent_at    INTEGER NOT NULL DEFAULT 0
) STRICT;
-- No event is told twice to a channel.
CREATE UNIQUE INDEX notify_deliveries_once ON notify_deliveries (channel_id, event_id) WHERE event_id > 0;
CREATE INDEX notify_deliveries_due ON notify_deliveries (next_at) WHERE state = 'pending';
CREATE INDEX notify_deliveries_by_channel ON notify_deliveries (channel_id, id);
CREATE INDEX notify_deliveries_by_about ON notify_deliveries (about, created_at) WHERE about <> '';

-- How far the event log has been read: from here on, not what was before.
CREATE TABLE notify_cursor (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    event_id INTEGER NOT NULL
) STRICT;
INSERT INTO notify_cursor (id, event_id)
SELECT 1, COALESCE(MAX(id), 0)
FROM events;
