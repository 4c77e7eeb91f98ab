-- Whose sign-ins at providers are under way: where there are too many, those of
-- the site that has most give way.
ALTER TABLE signin_flows ADD COLUMN site TEXT NOT NULL DEFAULT '';
CREATE INDEX signin_flows_by_site ON signin_flows (site, expires_at);
