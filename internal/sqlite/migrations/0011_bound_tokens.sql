-- identity: what an API token is held to. NULL in both: to nothing.
ALTER TABLE api_tokens ADD COLUMN project_id TEXT REFERENCES projects (id) ON DELETE CASCADE
    CHECK (project_id IS NULL OR scope <> 'admin');
ALTER TABLE api_tokens ADD COLUMN stage_id TEXT REFERENCES stages (id) ON DELETE CASCADE
    CHECK (stage_id IS NULL OR project_id IS NOT NULL);
CREATE INDEX api_tokens_by_project ON api_tokens (project_id) WHERE project_id IS NOT NULL;
CREATE INDEX api_tokens_by_stage ON api_tokens (stage_id) WHERE stage_id IS NOT NULL;
