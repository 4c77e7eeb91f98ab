-- deploy: scheduled jobs. What a job is stands in its stage's configuration;
-- here is when it is due next.
CREATE TABLE jobs (
    stage_id  TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    schedule  TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    next_at   INTEGER NOT NULL,
    PRIMARY KEY (stage_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_by_next ON jobs (next_at);

CREATE TABLE job_runs (
    id            TEXT PRIMARY KEY,
    stage_id      TEXT NOT NULL REFERENCES stages (id) ON DELETE CASCADE,
    job           TEXT NOT NULL,
    state         TEXT NOT NULL,
    trigger       TEXT NOT NULL,
    actor         TEXT NOT NULL DEFAULT '',
    task          TEXT NOT NULL, -- deploy.Task as JSON
    overlap       TEXT NOT NULL,
    times         INTEGER NOT NULL DEFAULT 1, -- how many came to this, where nothing was run
    deployment_id TEXT NOT NULL DEFAULT '', -- whose release it runs with
    reference     TEXT NOT NULL DEFAULT '',
    container     TEXT NOT NULL DEFAULT '', -- stored before it is started
    exit_code     INTEGER,
    detail        TEXT NOT NULL DEFAULT '',
    due_at        INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER -- NULL while it waits or runs
) STRICT;
CREATE INDEX job_runs_by_stage ON job_runs (stage_id, id);
CREATE INDEX job_runs_unfinished ON job_runs (stage_id) WHERE finished_at IS NULL;

CREATE TABLE job_run_lines (
    run_id TEXT NOT NULL REFERENCES job_runs (id) ON DELETE CASCADE,
    n      INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    stream TEXT NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (run_id, n)
) STRICT, WITHOUT ROWID;
