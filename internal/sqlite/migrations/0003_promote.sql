-- deploy: deployments that wait for somebody's word, promotions, and how long
-- a live release has been healthy.
ALTER TABLE deployments ADD COLUMN approval TEXT NOT NULL DEFAULT ''; -- whose word it needs: '' nobody's, 'any', 'other'
ALTER TABLE deployments ADD COLUMN approved_by TEXT NOT NULL DEFAULT '';
ALTER TABLE deployments ADD COLUMN approved_at INTEGER;
-- Of a promotion: the stage by its name, and what was live there.
ALTER TABLE deployments ADD COLUMN source_stage TEXT NOT NULL DEFAULT '';
ALTER TABLE deployments ADD COLUMN source_deployment TEXT NOT NULL DEFAULT '';
ALTER TABLE deployments ADD COLUMN source_release TEXT NOT NULL DEFAULT '';
-- Since when every instance has been ready, while it serves; and the longest
-- time that was so without a break, in milliseconds, of those that are over.
ALTER TABLE deployments ADD COLUMN healthy_since INTEGER;
ALTER TABLE deployments ADD COLUMN healthy_for INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deployments_by_source ON deployments (stage_id, source_deployment) WHERE source_deployment <> '';

CREATE INDEX stages_promoting ON stages (project_id) WHERE json_extract(spec, '$.promote_from') IS NOT NULL;

-- What is live and ready now was ready at least since it went live or, of one
-- that came up again, since its instances last changed.
UPDATE deployments
SET healthy_since = (SELECT MAX(i.updated_at) FROM instances i WHERE i.deployment_id = deployments.id)
WHERE id IN (SELECT live_deployment FROM stages WHERE live_deployment IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.deployment_id = deployments.id AND i.state <> 'ready');
