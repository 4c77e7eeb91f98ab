-- deploy: volumes of the engine that restores made. A restore fills one of its
-- own; it comes in place of the one before by a change of state here.
CREATE TABLE volume_copies (
    volume   TEXT NOT NULL,    -- the name that stages know: berth_<project>_<stage>_<name>
    number   INTEGER NOT NULL, -- 0 is the engine's volume of that name, n is <volume>.<n>
    state    TEXT NOT NULL CHECK (state IN ('arriving', 'current', 'left')),
    restore  TEXT NOT NULL,    -- id of the restore that it arrived by; '' of number 0
    project  TEXT NOT NULL,
    stage    TEXT NOT NULL,
    actor    TEXT NOT NULL,
    began_at INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (volume, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX volume_copies_single ON volume_copies (volume, state) WHERE state <> 'left';
