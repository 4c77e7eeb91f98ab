-- manifest: whether this server was set up from a file.

CREATE TABLE manifest_seed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
