-- deploy: who asked for the end of a deployment under way.
ALTER TABLE deployments ADD COLUMN canceled_by TEXT NOT NULL DEFAULT '';
