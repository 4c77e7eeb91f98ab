-- event: each event but log lines has its place in a chain of hashes, which
-- begins with the first event after this migration.
ALTER TABLE events ADD COLUMN position INTEGER;
ALTER TABLE events ADD COLUMN hash BLOB;

-- The chain's ends, each with a MAC: the last event that was removed with age
-- (or, at first, the last from before the chain), and the newest.
CREATE TABLE event_chain (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    began_at        INTEGER NOT NULL,
    anchor_id       INTEGER NOT NULL,
    anchor_position INTEGER NOT NULL,
    anchor_hash     BLOB NOT NULL,
    anchor_mac      BLOB NOT NULL,
    head_id         INTEGER NOT NULL,
    head_position   INTEGER NOT NULL,
    head_hash       BLOB NOT NULL,
    head_mac        BLOB NOT NULL
) STRICT;
