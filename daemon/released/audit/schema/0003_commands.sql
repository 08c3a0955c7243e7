-- Where a release's commands come from, what releases have to do with each other, and an application's settings.

ALTER TABLE releases ADD COLUMN resolve_sequence INTEGER;  -- of the event that says which commands it runs; NULL: none yet, or the request did
ALTER TABLE releases ADD COLUMN retry_of TEXT;
ALTER TABLE releases ADD COLUMN rollback_of TEXT;

CREATE INDEX releases_by_retry ON releases (retry_of) WHERE retry_of IS NOT NULL;
-- A release is rolled back once.
CREATE UNIQUE INDEX releases_by_rollback ON releases (rollback_of) WHERE rollback_of IS NOT NULL;

CREATE TABLE command_settings (
    application TEXT    PRIMARY KEY,
    commands    TEXT    NOT NULL,      -- in order, as JSON
    sequence    INTEGER NOT NULL       -- of the event that says so
) STRICT, WITHOUT ROWID;

-- A new row takes the place of the one before.
CREATE TRIGGER command_settings_move_on BEFORE INSERT ON command_settings
BEGIN
    SELECT RAISE(ABORT, 'settings are what an event says')
    WHERE NOT EXISTS (
        SELECT 1 FROM events WHERE sequence = NEW.sequence AND kind = 'commands_changed'
        AND body ->> 'application' = NEW.application
    );
    DELETE FROM command_settings WHERE application = NEW.application AND sequence < NEW.sequence;
END;

CREATE TRIGGER command_settings_stay BEFORE UPDATE ON command_settings
BEGIN SELECT RAISE(ABORT, 'settings are never changed but by an event'); END;
