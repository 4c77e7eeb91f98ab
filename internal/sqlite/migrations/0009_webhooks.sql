-- webhook: where other registries tell of pushes, and what they sent.
CREATE TABLE webhooks (
    id         TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    source     TEXT NOT NULL,
    project    TEXT REFERENCES projects (name) ON DELETE CASCADE, -- NULL for all projects
    registry   TEXT NOT NULL DEFAULT '', -- the host that its images have in projects; '' as the payload says
    signed     INTEGER NOT NULL DEFAULT 0, -- a secret is in slot ("berth/webhook", id)
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_project ON webhooks (project) WHERE project IS NOT NULL;

CREATE TABLE webhook_deliveries (
    id         TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    event      TEXT NOT NULL, -- as the sender names it
    header     TEXT NOT NULL, -- what of it a header said
    media_type TEXT NOT NULL,
    hints      TEXT NOT NULL, -- JSON
    verdict    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    size       INTEGER NOT NULL, -- bytes of the payload as it came
    payload    BLOB, -- NULL when it was too large to keep
    replay_of  TEXT NOT NULL DEFAULT '',
    actor      TEXT NOT NULL DEFAULT '' -- who replayed it
) STRICT;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (at);
