-- deploy: what instances used, a row a minute, for the charts.
CREATE TABLE instance_minutes (
    stage_id     TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    minute       INTEGER NOT NULL, -- Unix milliseconds, start of the minute
    instance_id  TEXT NOT NULL,
    since        INTEGER NOT NULL, -- Unix milliseconds, where the span begins that its readings tell of
    readings     INTEGER NOT NULL,
    cpu          REAL NOT NULL, -- cores, mean of the readings
    cpu_max      REAL NOT NULL,
    memory       INTEGER NOT NULL, -- bytes, the most
    memory_limit INTEGER NOT NULL, -- bytes; 0 is none
    PRIMARY KEY (stage_id, minute, instance_id)
) STRICT, WITHOUT ROWID;
