-- deploy: a stage's state that is not its configuration, as JSON.
ALTER TABLE stages ADD COLUMN paused TEXT; -- deploy.Pause; NULL while deployments are let in
ALTER TABLE stages ADD COLUMN maintenance TEXT; -- deploy.Maintenance; NULL while the app answers

-- What was watched of a new release: as a canary, and by the guard after the
-- switch.
CREATE TABLE watches (
    deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    phase         TEXT NOT NULL, -- 'canary' or 'guard'
    previous      TEXT NOT NULL, -- the deployment that the stage goes back to
    data          TEXT NOT NULL, -- deploy.Watch as JSON
    PRIMARY KEY (deployment_id, phase)
) STRICT, WITHOUT ROWID;
