-- registry: what is watched at other registries, and what was last seen there.
CREATE TABLE registry_watches (
    repository   TEXT PRIMARY KEY, -- with its host, as projects have it
    baseline     TEXT NOT NULL DEFAULT '[]', -- JSON: the rules whose tags have been seen once
    list_etag    TEXT NOT NULL DEFAULT '', -- of the list of tags
    list_hash    TEXT NOT NULL DEFAULT '', -- of the list of tags and the rules it was held to
    polled_at    INTEGER NOT NULL DEFAULT 0,
    succeeded_at INTEGER NOT NULL DEFAULT 0,
    next_at      INTEGER NOT NULL DEFAULT 0, -- 0: as soon as may be
    failures     INTEGER NOT NULL DEFAULT 0, -- in a row
    error        TEXT NOT NULL DEFAULT '' -- of the last poll, for a person
) STRICT;

CREATE TABLE registry_watched_tags (
    repository TEXT NOT NULL REFERENCES registry_watches (repository) ON DELETE CASCADE,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL DEFAULT '', -- '' while only its name is known
    etag       TEXT NOT NULL DEFAULT '',
    changed_at INTEGER NOT NULL, -- when this digest was first seen
    gone_at    INTEGER NOT NULL DEFAULT 0, -- when the list lacked it; 0 while it is there
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

-- What senders of webhooks say was pushed, until it has been looked up.
CREATE TABLE registry_hints (
    repository TEXT NOT NULL REFERENCES registry_watches (repository) ON DELETE CASCADE,
    tag        TEXT NOT NULL, -- '' for the whole repository
    said       INTEGER NOT NULL DEFAULT 1, -- how often; a look-up removes only what it knew of
    tries      INTEGER NOT NULL DEFAULT 0, -- look-ups that did not find the tag yet
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

-- How often the repositories of a host are polled: milliseconds, 0 never, NULL as often as usual.
ALTER TABLE registry_accounts ADD COLUMN poll_interval INTEGER;
