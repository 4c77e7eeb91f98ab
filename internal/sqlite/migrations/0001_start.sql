-- Times are integer Unix milliseconds, UTC. Identifiers are sortable random text.

-- event: the append-only log.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    actor      TEXT NOT NULL DEFAULT '',
    project    TEXT NOT NULL DEFAULT '',
    stage      TEXT NOT NULL DEFAULT '',
    deployment TEXT NOT NULL DEFAULT '',
    instance   TEXT NOT NULL DEFAULT '',
    data       TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX events_by_deployment ON events (deployment, id) WHERE deployment <> '';
CREATE INDEX events_by_project ON events (project, id) WHERE project <> '';
CREATE INDEX events_by_kind ON events (kind, id);
CREATE INDEX events_facts ON events (id) WHERE kind <> 'deployment.log';

-- identity: people, sessions, API tokens.
CREATE TABLE people (
    id            TEXT PRIMARY KEY,
    username      TEXT NOT NULL COLLATE NOCASE UNIQUE,
    display_name  TEXT NOT NULL DEFAULT '',
    email         TEXT NOT NULL DEFAULT '',
    role          TEXT NOT NULL CHECK (role IN ('administrator', 'member')),
    password_hash BLOB,
    disabled_at   INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    version       INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    token_hash   BLOB NOT NULL UNIQUE,
    person_id    TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    address      TEXT NOT NULL DEFAULT '',
    user_agent   TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_person ON sessions (person_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY,
    token_hash   BLOB NOT NULL UNIQUE,
    person_id    TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'deploy', 'admin')),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at   INTEGER,
    UNIQUE (person_id, name)
) STRICT;

-- A one-time link with which the first administrator is made.
CREATE TABLE setup_links (
    token_hash BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- vault: sealed slots.
CREATE TABLE slots (
    context    TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (context, name)
) STRICT;

-- One value sealed with the key that all slots are sealed with.
CREATE TABLE slot_check (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- registry: manifests and tags; blobs are files, listed here.
CREATE TABLE registry_repositories (
    name       TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE registry_blobs (
    digest     TEXT PRIMARY KEY,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE registry_repository_blobs (
    repository TEXT NOT NULL REFERENCES registry_repositories (name) ON DELETE CASCADE,
    digest     TEXT NOT NULL REFERENCES registry_blobs (digest),
    linked_at  INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT;
CREATE INDEX registry_repository_blobs_by_digest ON registry_repository_blobs (digest);

CREATE TABLE registry_manifests (
    repository    TEXT NOT NULL REFERENCES registry_repositories (name) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    artifact_type TEXT NOT NULL DEFAULT '',
    subject       TEXT NOT NULL DEFAULT '',
    content       BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT;
CREATE INDEX registry_manifests_by_subject ON registry_manifests (repository, subject) WHERE subject <> '';

-- What a manifest needs to stay: blobs, and for an index its manifests.
CREATE TABLE registry_references (
    repository TEXT NOT NULL,
    manifest   TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES registry_manifests (repository, digest) ON DELETE CASCADE
) STRICT;
CREATE INDEX registry_references_by_digest ON registry_references (digest);

CREATE TABLE registry_tags (
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES registry_manifests (repository, digest) ON DELETE CASCADE
) STRICT;
CREATE INDEX registry_tags_by_digest ON registry_tags (repository, digest);

-- Blobs that are still arriving; the bytes are in a file named by the id.
CREATE TABLE registry_uploads (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    hashed     INTEGER NOT NULL DEFAULT 0, -- how many bytes hash stands for
    hash       BLOB, -- SHA-256 as far as it went, to go on from
    started_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
) STRICT;
CREATE INDEX registry_uploads_by_touch ON registry_uploads (touched_at);

-- Who Berth is to an external registry; the password is in slot
-- ("registry", host).
CREATE TABLE registry_accounts (
    host       TEXT PRIMARY KEY,
    username   TEXT NOT NULL,
    insecure   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- deploy: projects, stages, releases, deployments and their journal.

-- What deploy must remember of itself: which server it is to a shared engine,
-- and how far it has read the pushes.
CREATE TABLE deploy_marks (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE projects (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    image       TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX projects_by_image ON projects (image);

CREATE TABLE stages (
    id               TEXT PRIMARY KEY,
    project_id       TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    hostname         TEXT NOT NULL,
    path_prefix      TEXT NOT NULL DEFAULT '/',
    spec             TEXT NOT NULL, -- deploy.StageSpec as JSON; hostname and path_prefix stand here too, to be unique
    generation       INTEGER NOT NULL DEFAULT 0, -- of the newest deployment
    live_deployment  TEXT,
    live_generation  INTEGER NOT NULL DEFAULT 0, -- only grows: fences an older deployment off
    live_hostname    TEXT, -- what the live release serves, which an edit does not change
    live_path_prefix TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    version          INTEGER NOT NULL DEFAULT 1,
    UNIQUE (project_id, name),
    UNIQUE (hostname, path_prefix)
) STRICT;
CREATE INDEX stages_by_live ON stages (live_deployment) WHERE live_deployment IS NOT NULL;
CREATE UNIQUE INDEX stages_live_route ON stages (live_hostname, live_path_prefix) WHERE live_hostname IS NOT NULL;

CREATE TABLE releases (
    id         TEXT PRIMARY KEY,
    stage_id   TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    repository TEXT NOT NULL,
    reference  TEXT NOT NULL, -- how it was found: repository:tag
    digest     TEXT NOT NULL, -- what runs: sha256:… of the manifest for the engine's platform
    image_id   TEXT NOT NULL DEFAULT '', -- the engine's own id, once it has it
    spec_hash  TEXT NOT NULL,
    spec       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (stage_id, repository, digest, spec_hash)
) STRICT;

CREATE TABLE deployments (
    id          TEXT PRIMARY KEY,
    stage_id    TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    generation  INTEGER NOT NULL,
    release_id  TEXT REFERENCES releases (id), -- once resolved; of a redeploy and a roll back, from the start
    reference   TEXT NOT NULL, -- as asked for
    kind        TEXT NOT NULL,
    trigger     TEXT NOT NULL,
    actor       TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL,
    cancel      INTEGER NOT NULL DEFAULT 0,
    error       TEXT NOT NULL DEFAULT '',
    failed_step TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER, -- NULL while there is anything left to do for it
    stop_at     INTEGER, -- of one that was live: when its instances, used no longer, are stopped
    UNIQUE (stage_id, generation)
) STRICT;
CREATE INDEX deployments_unfinished ON deployments (stage_id, generation) WHERE finished_at IS NULL;
CREATE INDEX deployments_to_stop ON deployments (stop_at) WHERE stop_at IS NOT NULL;
CREATE INDEX deployments_live ON deployments (stage_id) WHERE state = 'live';
CREATE INDEX deployments_by_release ON deployments (release_id);

CREATE TABLE deployment_steps (
    deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    name          TEXT NOT NULL,
    state         TEXT NOT NULL,
    detail        TEXT NOT NULL DEFAULT '',
    started_at    INTEGER,
    finished_at   INTEGER,
    PRIMARY KEY (deployment_id, ordinal)
) STRICT;

CREATE TABLE instances (
    id            TEXT PRIMARY KEY,
    deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    ordinal       INTEGER NOT NULL,
    container_id  TEXT NOT NULL DEFAULT '',
    address       TEXT NOT NULL DEFAULT '',
    state         TEXT NOT NULL,
    detail        TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (deployment_id, ordinal)
) STRICT;

-- gateway: what passed through a stage's route, a row a minute, for the charts.
CREATE TABLE route_minutes (
    stage_id   TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    minute     INTEGER NOT NULL, -- Unix milliseconds, start of the minute
    requests   INTEGER NOT NULL,
    errors     INTEGER NOT NULL, -- answers of 500 and above
    bytes_in   INTEGER NOT NULL,
    bytes_out  INTEGER NOT NULL,
    latency    TEXT NOT NULL, -- histogram counts as a JSON array
    PRIMARY KEY (stage_id, minute)
) STRICT, WITHOUT ROWID;
