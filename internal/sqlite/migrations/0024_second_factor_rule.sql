-- identity: who must have a second factor, beside what the settings say.
CREATE TABLE second_factor_rule (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    required_of TEXT NOT NULL CHECK (required_of IN ('nobody', 'administrators', 'everybody')),
    version     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
INSERT INTO second_factor_rule (id, required_of, version, updated_at)
VALUES (1, 'nobody', 0, 0);
