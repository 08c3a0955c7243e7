-- Every event vouches for all before it; what queries read is derived again from the events.
DROP TRIGGER IF EXISTS events_count_up;
DROP TRIGGER IF EXISTS events_are_kept;
DROP TRIGGER IF EXISTS events_stay;
DROP TRIGGER IF EXISTS outputs_are_new;
DROP TRIGGER IF EXISTS outputs_are_kept;
DROP TRIGGER IF EXISTS outputs_stay;
DROP INDEX events_by_release;
DROP TABLE command_runs;
DROP TABLE release_labels;
DROP TABLE releases;
ALTER TABLE outputs RENAME TO outputs_before;
ALTER TABLE events RENAME TO events_before;

-- What happened, appended and never changed. docs/audit.md says how the digest is made.
CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY,  -- counts all events, from 1, without gaps
    release_id    TEXT    NOT NULL,     -- UUID; empty for the daemon's own events
    event_time    INTEGER NOT NULL,     -- microseconds since 1970-01-01 UTC
    kind          TEXT    NOT NULL,     -- what happened, such as command_started
    body          TEXT    NOT NULL,     -- JSON, its form depends on the kind
    output_bytes  INTEGER,              -- of a command_output: how many bytes were written
    output_digest BLOB,                 -- and their SHA-256
    digest        BLOB    NOT NULL      -- SHA-256 over the digest of the event before and all of the above
) STRICT;

-- The only one: each further index would cost every append, and verifying, for questions that are seldom asked.
CREATE INDEX events_by_release ON events (release_id, sequence);

-- What the container wrote: the bytes of a command_output event.
CREATE TABLE outputs (
    sequence INTEGER PRIMARY KEY REFERENCES events,
    encoding TEXT NOT NULL,  -- empty: as they came; zstd: compressed
    data     BLOB NOT NULL
) STRICT;

-- Also keeps INSERT OR REPLACE from changing an event.
CREATE TRIGGER events_count_up BEFORE INSERT ON events
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: sequences count up by one'); END;

CREATE TRIGGER events_are_kept BEFORE DELETE ON events
WHEN OLD.sequence > coalesce((SELECT through_sequence FROM checkpoints WHERE subject = 'events'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: events are never deleted but by retention'); END;

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: events are never changed'); END;

CREATE TRIGGER outputs_are_new BEFORE INSERT ON outputs
WHEN EXISTS (SELECT 1 FROM outputs WHERE sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: output is never replaced'); END;

CREATE TRIGGER outputs_are_kept BEFORE DELETE ON outputs
WHEN OLD.sequence > (
    SELECT coalesce(max(through_sequence), 0) FROM checkpoints WHERE subject IN ('events', 'output')
)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: output is never deleted but by retention'); END;

CREATE TRIGGER outputs_stay BEFORE UPDATE ON outputs
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: output is never changed'); END;

-- Projections: what the events add up to, so that queries are fast. They are
-- written in the transaction of the event, and can be derived from the events.
CREATE TABLE releases (
    release_id       TEXT    NOT NULL UNIQUE,
    accept_sequence  INTEGER PRIMARY KEY REFERENCES events,     -- its spec is in that event
    application      TEXT    NOT NULL,
    environment      TEXT    NOT NULL,
    image            TEXT    NOT NULL,
    request_id       TEXT,                                      -- NULL without one
    requested_by     TEXT    NOT NULL,
    caller_uid       INTEGER,
    caller_user      TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    cause            TEXT,
    message          TEXT,
    failed_index     INTEGER,
    image_id         TEXT    NOT NULL DEFAULT '',
    image_digest     TEXT    NOT NULL DEFAULT '',
    container_id     TEXT    NOT NULL DEFAULT '',
    container_name   TEXT    NOT NULL DEFAULT '',
    engine_version   TEXT    NOT NULL DEFAULT '',
    create_time      INTEGER NOT NULL,
    start_time       INTEGER,
    end_time         INTEGER,
    end_sequence     INTEGER,                                   -- of the event whose digest is the receipt
    outcome          TEXT,                                      -- of the deployment, once reported
    outcome_reason   TEXT,
    outcome_time     INTEGER,
    outcome_caller   TEXT,                                      -- who reported it, as JSON
    cancel_reason    TEXT,                                      -- of who asked for that first
    cancel_time      INTEGER,
    cancel_caller    TEXT,                                      -- as JSON
    duration         INTEGER GENERATED ALWAYS AS (end_time - start_time) VIRTUAL,
    -- Whoever deploys another target can neither find out a request id nor take it.
    UNIQUE (application, environment, request_id)
) STRICT;

-- Lists are in the order of create_time. Each index ends with accept_sequence, the rowid.
CREATE INDEX releases_by_create_time ON releases (create_time);
CREATE INDEX releases_by_application ON releases (application, create_time);
CREATE INDEX releases_by_target ON releases (application, environment, create_time);
CREATE INDEX releases_by_state ON releases (state, create_time);
CREATE INDEX releases_by_cause ON releases (cause, create_time) WHERE cause IS NOT NULL;
CREATE INDEX releases_by_outcome ON releases (outcome, create_time);
CREATE INDEX releases_by_state_and_outcome ON releases (state, outcome, create_time);
CREATE INDEX releases_by_caller_uid ON releases (caller_uid, create_time);
CREATE INDEX releases_by_caller_user ON releases (caller_user, create_time);
CREATE INDEX releases_by_requested_by ON releases (requested_by, create_time);
CREATE INDEX releases_by_image ON releases (image, create_time);
CREATE INDEX releases_by_digest ON releases (substr(image_digest, instr(image_digest, '@') + 1), create_time);
CREATE INDEX releases_by_duration ON releases (ifnull(duration, -1));
CREATE INDEX releases_by_end_time ON releases (ifnull(end_time, -1));

CREATE TABLE release_labels (
    release_id TEXT NOT NULL REFERENCES releases (release_id),
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (release_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX release_labels_by_value ON release_labels (key, value);

CREATE TABLE command_runs (
    release_id    TEXT    NOT NULL REFERENCES releases (release_id),
    command_index INTEGER NOT NULL,
    label         TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    exit_code     INTEGER,
    signal        INTEGER NOT NULL DEFAULT 0,
    start_time    INTEGER,
    end_time      INTEGER,
    stdout_bytes  INTEGER NOT NULL DEFAULT 0,
    stderr_bytes  INTEGER NOT NULL DEFAULT 0,
    omitted_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (release_id, command_index)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER releases_are_kept BEFORE DELETE ON releases
WHEN OLD.accept_sequence > coalesce((SELECT through_sequence FROM checkpoints WHERE subject = 'events'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: releases are never deleted but by retention'); END;

CREATE TRIGGER release_labels_are_kept BEFORE DELETE ON release_labels
WHEN (SELECT accept_sequence FROM releases WHERE release_id = OLD.release_id)
     > coalesce((SELECT through_sequence FROM checkpoints WHERE subject = 'events'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: labels are never deleted but by retention'); END;

CREATE TRIGGER command_runs_are_kept BEFORE DELETE ON command_runs
WHEN (SELECT accept_sequence FROM releases WHERE release_id = OLD.release_id)
     > coalesce((SELECT through_sequence FROM checkpoints WHERE subject = 'events'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only: commands are never deleted but by retention'); END;

-- Retention: up to where rows may be gone. Without a row, nothing was pruned.
CREATE TABLE checkpoints (
    subject          TEXT    PRIMARY KEY   -- events: with all that belongs to them; output: that alone
                             CHECK (subject IN ('events', 'output')),
    through_sequence INTEGER NOT NULL,     -- behind this event, nothing is missing
    digest           BLOB,                 -- of this event, for events: what the first one behind it is chained to
    sequence         INTEGER NOT NULL      -- of the event that says so
) STRICT, WITHOUT ROWID;

-- A new row takes the place of the one before.
CREATE TRIGGER checkpoints_move_on BEFORE INSERT ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint is where an event says that something was pruned')
    WHERE NOT EXISTS (
        SELECT 1 FROM events WHERE sequence = NEW.sequence AND kind = NEW.subject || '_pruned'
        AND body ->> 'through_sequence' = NEW.through_sequence
    );
    DELETE FROM checkpoints WHERE subject = NEW.subject AND through_sequence < NEW.through_sequence;
END;

CREATE TRIGGER checkpoints_stay BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never changed'); END;
