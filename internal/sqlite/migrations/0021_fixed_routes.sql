-- deploy: routes that no stage makes: to fixed addresses, where something runs
-- that Berth does not, or to nothing, where another proxy forwards.
CREATE TABLE fixed_routes (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    hostname    TEXT NOT NULL,
    path_prefix TEXT NOT NULL,
    spec        TEXT NOT NULL, -- JSON
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    UNIQUE (hostname, path_prefix)
) STRICT;

-- gateway: what passed through one, a row a minute, as route_minutes has it of
-- stages.
CREATE TABLE fixed_route_minutes (
    route_id   TEXT NOT NULL REFERENCES fixed_routes (id) ON DELETE CASCADE,
    minute     INTEGER NOT NULL, -- Unix milliseconds, start of the minute
    requests   INTEGER NOT NULL,
    errors     INTEGER NOT NULL, -- answers of 500 and above
    bytes_in   INTEGER NOT NULL,
    bytes_out  INTEGER NOT NULL,
    latency    TEXT NOT NULL, -- histogram counts as a JSON array
    PRIMARY KEY (route_id, minute)
) STRICT, WITHOUT ROWID;
