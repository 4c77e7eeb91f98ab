-- gateway: what instances of a stage answered, a row for each minute in which
-- one answered anything, as route_minutes has it of all together.
CREATE TABLE instance_route_minutes (
    stage_id    TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    minute      INTEGER NOT NULL, -- Unix milliseconds, start of the minute
    instance_id TEXT NOT NULL,
    requests    INTEGER NOT NULL,
    errors      INTEGER NOT NULL, -- answers of 500 and above
    bytes_in    INTEGER NOT NULL,
    bytes_out   INTEGER NOT NULL,
    latency     TEXT NOT NULL, -- histogram counts as a JSON array
    PRIMARY KEY (stage_id, minute, instance_id)
) STRICT, WITHOUT ROWID;
