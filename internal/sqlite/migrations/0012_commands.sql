-- deploy: the one-off container that a step's command runs in, stored before
-- it is started; '' where there is none.
ALTER TABLE deployment_steps ADD COLUMN container TEXT NOT NULL DEFAULT '';
