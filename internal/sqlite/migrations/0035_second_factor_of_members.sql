-- identity: a second factor can be required of members and administrators, too.
CREATE TABLE second_factor_rule_new (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    required_of TEXT NOT NULL CHECK (required_of IN ('nobody', 'administrators', 'members', 'everybody')),
    version     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
INSERT INTO second_factor_rule_new (id, required_of, version, updated_at)
SELECT id, required_of, version, updated_at
FROM second_factor_rule;
DROP TABLE second_factor_rule;
ALTER TABLE second_factor_rule_new RENAME TO second_factor_rule;
