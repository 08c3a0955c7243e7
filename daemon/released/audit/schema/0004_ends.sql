-- That somebody else stopped a command, and that the rollback of a release may be tried again.

ALTER TABLE command_runs ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;  -- 1: by somebody else

-- A release is rolled back once; a retry of its rollback rolls back the same release.
DROP INDEX releases_by_rollback;
CREATE UNIQUE INDEX releases_by_rollback ON releases (rollback_of) WHERE rollback_of IS NOT NULL AND retry_of IS NULL;
