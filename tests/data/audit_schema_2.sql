PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
INSERT INTO events VALUES(1,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'release_accepted','{"kind":"release_accepted","spec":{"application":"shop","commands":[{"label":"command 0","line":"a","timeout":"PT60S"},{"label":"command 1","line":"b","timeout":"PT60S"}],"environment":"live","image":"shop:2","labels":{"a":"1","team":"ä"}}}',NULL,NULL,X'beeb6670929f2c5781f1e4cf700cafaac5ca8b1a55f8924f0c6dec558e96027d');
INSERT INTO events VALUES(2,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'state_changed','{"kind":"state_changed","state":"PREPARING"}',NULL,NULL,X'1cc4643d2b04bfb951e62a3ad45e7326cf587520836a86ec63aa04c7efb4c0b9');
INSERT INTO events VALUES(3,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'image_resolved','{"image_id":"i","kind":"image_resolved"}',NULL,NULL,X'90c3dcb99e92d2a8594e74a8ef307eb29fb233853f003ad48bd6b5f9f5239ff1');
INSERT INTO events VALUES(4,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'container_created','{"container_id":"c","container_name":"n","kind":"container_created"}',NULL,NULL,X'd7cbcca88dcced758b0be2d6817ad10dd287029260fe5d76fac28d17fda2164b');
INSERT INTO events VALUES(5,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'state_changed','{"kind":"state_changed","state":"RUNNING"}',NULL,NULL,X'0180ce5700c95db3ed348a0aad9a0454649ecf2276dea60073377119b92bb4e9');
INSERT INTO events VALUES(6,'01901630-0000-7000-8000-0000000000a1',1795459809878573,'command_started','{"command_index":0,"kind":"command_started"}',NULL,NULL,X'5b12b84dd2b0056d0fe13e227e2052ac96f397043b68abd57ad65292d003b159');
INSERT INTO events VALUES(7,'01901630-0000-7000-8000-0000000000a1',1795459809878589,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',50000,X'9483d1c3ad73c1fcfe3260e5fdecbd9a70966a2cf2cd8b95c59d691e46790149',X'f5d265e9e99b5988725d6afec3447dab2f02b9a012f3bb329291ffdb33381409');
INSERT INTO events VALUES(8,'01901630-0000-7000-8000-0000000000a1',1795459809878593,'command_finished','{"command_index":0,"exit_code":1,"kind":"command_finished","state":"FAILED"}',NULL,NULL,X'dc7cff8deffba56b24b04ac34b5265ce88082b4fb2b8ad50f344a01ca1b8f73b');
INSERT INTO events VALUES(9,'01901630-0000-7000-8000-0000000000a1',1795459809878593,'command_finished','{"command_index":1,"kind":"command_finished","state":"SKIPPED"}',NULL,NULL,X'2c2d519079f8ff9e29ae4af9334cf726dad47b9ecb64faec36255af2167fe5c3');
INSERT INTO events VALUES(10,'01901630-0000-7000-8000-0000000000a1',1795459809878593,'state_changed','{"failure":{"cause":"COMMAND_FAILED","command_index":0,"message":"it failed"},"kind":"state_changed","state":"FAILED"}',NULL,NULL,X'202ae064a58cb6f26c0409d056618b3b27d526c3ab2f2a98881ac4d06c0ad19a');
INSERT INTO events VALUES(11,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'release_accepted','{"kind":"release_accepted","spec":{"application":"shop","commands":[{"label":"command 0","line":"a","timeout":"PT60S"},{"label":"command 1","line":"b","timeout":"PT60S"}],"environment":"live","image":"shop:2","labels":{"a":"1","team":"ä"}}}',NULL,NULL,X'2b70a416b09309b9e656b6a52d04a5bfa7439450ee693e1b2ceb105137d7ccf1');
INSERT INTO events VALUES(12,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'state_changed','{"kind":"state_changed","state":"PREPARING"}',NULL,NULL,X'2a959a5e60b6c6f0a7c1a8f709d6442e5c70a259072b4731784d725622ccb2ba');
INSERT INTO events VALUES(13,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'image_resolved','{"image_id":"i","kind":"image_resolved"}',NULL,NULL,X'6b57ed97a9a9f64e20e3928ecee582aece6c99b8fe96a10da5b7d95df0c56869');
INSERT INTO events VALUES(14,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'container_created','{"container_id":"c","container_name":"n","kind":"container_created"}',NULL,NULL,X'e8a78dd3266f0a317561a61630c5c4bb57b5e826ce12f0cb0ef795277b1b0f19');
INSERT INTO events VALUES(15,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'state_changed','{"kind":"state_changed","state":"RUNNING"}',NULL,NULL,X'f308abe38bd4069865f3527503ecf3270da2950d5f84fd06b56f6e7526e830e8');
INSERT INTO events VALUES(16,'01901630-0000-7000-8000-0000000000b2',1795459809878597,'command_started','{"command_index":0,"kind":"command_started"}',NULL,NULL,X'b84cbc33c753ad6402547347929b98f0ea6b8b66f4ed2268309789c2856265e4');
INSERT INTO events VALUES(17,'01901630-0000-7000-8000-0000000000b2',1795459809878617,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',50000,X'9483d1c3ad73c1fcfe3260e5fdecbd9a70966a2cf2cd8b95c59d691e46790149',X'4cdfd496d0a430094106315a39d68ceab3dd4a2edcf046afbac6c3334d34d18b');
INSERT INTO events VALUES(18,'01901630-0000-7000-8000-0000000000b2',1795459809878621,'command_finished','{"command_index":0,"exit_code":1,"kind":"command_finished","state":"FAILED"}',NULL,NULL,X'196bbd9e38ae0098919b7cfcef2da00880367d89c955b94b480092e2a2812fc6');
INSERT INTO events VALUES(19,'01901630-0000-7000-8000-0000000000b2',1795459809878621,'command_finished','{"command_index":1,"kind":"command_finished","state":"SKIPPED"}',NULL,NULL,X'a74b62550fd1bdd4faa45c3661a9c95747787c9572e8bb4bf21d37b3f5ef2ab4');
INSERT INTO events VALUES(20,'01901630-0000-7000-8000-0000000000b2',1795459809878621,'state_changed','{"failure":{"cause":"COMMAND_FAILED","command_index":0,"message":"it failed"},"kind":"state_changed","state":"FAILED"}',NULL,NULL,X'5ca952e91d169e09f564c8dba4d7e4900e36444e407ef8f5638b789eb2274234');
INSERT INTO events VALUES(21,'',1795459809878628,'configuration_reloaded','{"kind":"configuration_reloaded"}',NULL,NULL,X'd40e51df010f4ca8f58b432c9a3d1aa2061254a4064a62b7804ef9cae02369c0');
INSERT INTO events VALUES(22,'01901630-0000-7000-8000-0000000000a1',1795459809960882,'outcome_reported','{"caller":{"executable":"/usr/bin/agent","gid":100,"groups":[24,100],"pid":4711,"uid":1000,"user":"ci"},"kind":"outcome_reported","outcome":"ABANDONED","reason":"why"}',NULL,NULL,X'4b1e210c9f491440ff810195ed0eda8d6158469169550a329fec3a7d33ed9aea');
INSERT INTO events VALUES(23,'00000000-0000-0000-0000-000000000001',1795459809960858,'release_accepted','{"kind":"release_accepted","spec":{"application":"shop","commands":[{"label":"command 0","line":"true","timeout":"PT60S"}],"environment":"live","image":"shop:2","labels":{"number":"1"},"request_id":"00000000-0000-0000-0000-000000000001"}}',NULL,NULL,X'9a5f9a2cbfd840a738d98f0dc84e36ca35d35964af2ca269b4a7960314da9ff1');
INSERT INTO events VALUES(24,'00000000-0000-0000-0000-000000000001',1795459809960858,'state_changed','{"kind":"state_changed","state":"PREPARING"}',NULL,NULL,X'7466a86a3f3bed293aac45188691b2cff9f8c25fefa3da24ec761363b5ad5890');
INSERT INTO events VALUES(25,'00000000-0000-0000-0000-000000000001',1795459809960858,'command_started','{"command_index":0,"kind":"command_started"}',NULL,NULL,X'ca5e2e9b36d6626ec84feb96b5999dab3129a92a7c2409b143e14709118c69dc');
INSERT INTO events VALUES(26,'00000000-0000-0000-0000-000000000001',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',5000,X'c59d3c0480cc2d71d8f646e735e92da65450311eec46e81a5db8c7e6e8a92054',X'226ce42bbcfae2c1b5b3e5bc3efd61ede93f7206340727f1fe428e56406edb02');
INSERT INTO events VALUES(27,'00000000-0000-0000-0000-000000000001',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',1,X'a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89',X'bc8e0ff86206c3cb9a3db8026e17de9b7a2f486b32cd82c8b699880fe05f46cc');
INSERT INTO events VALUES(28,'00000000-0000-0000-0000-000000000001',1795459809960858,'command_finished','{"command_index":0,"exit_code":0,"kind":"command_finished","state":"SUCCEEDED"}',NULL,NULL,X'9235c19b6b0fc17c1178f6e7488350c9cc3dc451af13cfc8ad690be43d1902fd');
INSERT INTO events VALUES(29,'00000000-0000-0000-0000-000000000001',1795459809960858,'state_changed','{"kind":"state_changed","state":"SUCCEEDED"}',NULL,NULL,X'd64e6b1a1be7fac5a9c796a7032e18cb93ec43ac6be449a19cbda5cfa5f7f78a');
INSERT INTO events VALUES(30,'00000000-0000-0000-0000-000000000002',1795459809960858,'release_accepted','{"kind":"release_accepted","spec":{"application":"shop","commands":[{"label":"command 0","line":"true","timeout":"PT60S"}],"environment":"live","image":"shop:2","labels":{"number":"2"},"request_id":"00000000-0000-0000-0000-000000000002"}}',NULL,NULL,X'46b3835e7d4ff2c11b6c1d2bbf3a85b2d9972718575d92fc8c31e64dbb6f0dd5');
INSERT INTO events VALUES(31,'00000000-0000-0000-0000-000000000002',1795459809960858,'state_changed','{"kind":"state_changed","state":"PREPARING"}',NULL,NULL,X'5ee9e1cfcfc93fccb155f653af80a7b966935ff5c6eaf4ef5790db8c03943a6a');
INSERT INTO events VALUES(32,'00000000-0000-0000-0000-000000000002',1795459809960858,'command_started','{"command_index":0,"kind":"command_started"}',NULL,NULL,X'90b76ae95ce7058dc8f2487242f01c57012c2f23056663ec4e2804ab2f1f33da');
INSERT INTO events VALUES(33,'00000000-0000-0000-0000-000000000002',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',5000,X'c59d3c0480cc2d71d8f646e735e92da65450311eec46e81a5db8c7e6e8a92054',X'41295b5bb3e16a3a86064b8e73c6639b2095ab9b543ca466efa7871141fe8b91');
INSERT INTO events VALUES(34,'00000000-0000-0000-0000-000000000002',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',1,X'a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89',X'67a95b4c0e066a788f1d63626721a1130f14ca283237fb9f1fa5444a574d206f');
INSERT INTO events VALUES(35,'00000000-0000-0000-0000-000000000002',1795459809960858,'command_finished','{"command_index":0,"exit_code":0,"kind":"command_finished","state":"SUCCEEDED"}',NULL,NULL,X'e94499a84bc3b9b46b237ebab0bb977f4dde16b8946c108501c01a1c70c0786d');
INSERT INTO events VALUES(36,'00000000-0000-0000-0000-000000000002',1795459809960858,'state_changed','{"kind":"state_changed","state":"SUCCEEDED"}',NULL,NULL,X'47764d7b44ab02e3234f08803814e48b39fcee1964706990217cfc79b8db7ceb');
INSERT INTO events VALUES(37,'00000000-0000-0000-0000-000000000003',1795459809960858,'release_accepted','{"kind":"release_accepted","spec":{"application":"shop","commands":[{"label":"command 0","line":"true","timeout":"PT60S"}],"environment":"live","image":"shop:2","labels":{"number":"3"},"request_id":"00000000-0000-0000-0000-000000000003"}}',NULL,NULL,X'0f7b4fe444fbc2a29926ad700e37dbcd6e9c9302fbda7ea20028094d61ca87a7');
INSERT INTO events VALUES(38,'00000000-0000-0000-0000-000000000003',1795459809960858,'state_changed','{"kind":"state_changed","state":"PREPARING"}',NULL,NULL,X'7653e5837d07414f91b3db0ee9166a51f5c2d15a28705ed2b11c79d2f7113d35');
INSERT INTO events VALUES(39,'00000000-0000-0000-0000-000000000003',1795459809960858,'command_started','{"command_index":0,"kind":"command_started"}',NULL,NULL,X'11738d886984ff1a6d004ab8032e0408f039cdf1a676f24eca7a6bae9052be23');
INSERT INTO events VALUES(40,'00000000-0000-0000-0000-000000000003',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',5000,X'c59d3c0480cc2d71d8f646e735e92da65450311eec46e81a5db8c7e6e8a92054',X'0b3545299d485b714a269934d9a37ebec91f69adfc4e18113d1b8d3ea3a0fec5');
INSERT INTO events VALUES(41,'00000000-0000-0000-0000-000000000003',1795459809960858,'command_output','{"command_index":0,"kind":"command_output","stream":"STDOUT"}',1,X'a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89',X'd32c18df7a1e8d3fbd10d079d535df6825651735971b50da00c686d4c1e84578');
INSERT INTO events VALUES(42,'00000000-0000-0000-0000-000000000003',1795459809960858,'command_finished','{"command_index":0,"exit_code":0,"kind":"command_finished","state":"SUCCEEDED"}',NULL,NULL,X'42d1e58560ff529bffbc5472aa3a70af5c0024e1ecaf5a1ad4a2d0a5dc3274ce');
INSERT INTO events VALUES(43,'00000000-0000-0000-0000-000000000003',1795459809960858,'state_changed','{"kind":"state_changed","state":"SUCCEEDED"}',NULL,NULL,X'94903aa089274f1529f690a42bd3fadad01626cdae26e77f3055d4717a8601d1');
INSERT INTO events VALUES(44,'',1795459810079384,'output_pruned','{"kind":"output_pruned","output_bytes":110001,"output_count":5,"through_sequence":33}',NULL,NULL,X'1cc307c7c70b4de73a8a0d1108d8bae9785ed57a22ebf3fc44dc9553565d44dd');
CREATE TABLE outputs (
    sequence INTEGER PRIMARY KEY REFERENCES events,
    encoding TEXT NOT NULL,  -- empty: as they came; zstd: compressed
    data     BLOB NOT NULL
) STRICT;
INSERT INTO outputs VALUES(34,'',X'ff');
INSERT INTO outputs VALUES(40,'zstd',X'28b52ffd6088124d0000107878010083d3032c');
INSERT INTO outputs VALUES(41,'',X'ff');
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
INSERT INTO releases VALUES('01901630-0000-7000-8000-0000000000a1',1,'shop','live','shop:2',NULL,'',NULL,'','FAILED','COMMAND_FAILED','it failed',0,'i','','c','n','',1795459809878573,1795459809878573,1795459809878593,10,'ABANDONED','why',1795459809960882,'{"uid":1000,"gid":100,"pid":4711,"groups":[24,100],"user":"ci","executable":"/usr/bin/agent"}',NULL,NULL,NULL);
INSERT INTO releases VALUES('01901630-0000-7000-8000-0000000000b2',11,'shop','live','shop:2',NULL,'',NULL,'','FAILED','COMMAND_FAILED','it failed',0,'i','','c','n','',1795459809878597,1795459809878597,1795459809878621,20,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO releases VALUES('00000000-0000-0000-0000-000000000001',23,'shop','live','shop:2','00000000-0000-0000-0000-000000000001','',NULL,'','SUCCEEDED',NULL,NULL,NULL,'','','','','',1795459809960858,1795459809960858,1795459809960858,29,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO releases VALUES('00000000-0000-0000-0000-000000000002',30,'shop','live','shop:2','00000000-0000-0000-0000-000000000002','',NULL,'','SUCCEEDED',NULL,NULL,NULL,'','','','','',1795459809960858,1795459809960858,1795459809960858,36,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO releases VALUES('00000000-0000-0000-0000-000000000003',37,'shop','live','shop:2','00000000-0000-0000-0000-000000000003','',NULL,'','SUCCEEDED',NULL,NULL,NULL,'','','','','',1795459809960858,1795459809960858,1795459809960858,43,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE release_labels (
    release_id TEXT NOT NULL REFERENCES releases (release_id),
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (release_id, key)
) STRICT, WITHOUT ROWID;
INSERT INTO release_labels VALUES('01901630-0000-7000-8000-0000000000a1','a','1');
INSERT INTO release_labels VALUES('01901630-0000-7000-8000-0000000000b2','a','1');
INSERT INTO release_labels VALUES('00000000-0000-0000-0000-000000000001','number','1');
INSERT INTO release_labels VALUES('00000000-0000-0000-0000-000000000002','number','2');
INSERT INTO release_labels VALUES('00000000-0000-0000-0000-000000000003','number','3');
INSERT INTO release_labels VALUES('01901630-0000-7000-8000-0000000000a1','team','ä');
INSERT INTO release_labels VALUES('01901630-0000-7000-8000-0000000000b2','team','ä');
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
INSERT INTO command_runs VALUES('00000000-0000-0000-0000-000000000001',0,'command 0','SUCCEEDED',0,0,1795459809960858,NULL,5001,0,0);
INSERT INTO command_runs VALUES('00000000-0000-0000-0000-000000000002',0,'command 0','SUCCEEDED',0,0,1795459809960858,NULL,5001,0,0);
INSERT INTO command_runs VALUES('00000000-0000-0000-0000-000000000003',0,'command 0','SUCCEEDED',0,0,1795459809960858,NULL,5001,0,0);
INSERT INTO command_runs VALUES('01901630-0000-7000-8000-0000000000a1',0,'command 0','FAILED',1,0,1795459809878573,NULL,50000,0,0);
INSERT INTO command_runs VALUES('01901630-0000-7000-8000-0000000000a1',1,'command 1','SKIPPED',NULL,0,NULL,NULL,0,0,0);
INSERT INTO command_runs VALUES('01901630-0000-7000-8000-0000000000b2',0,'command 0','FAILED',1,0,1795459809878597,NULL,50000,0,0);
INSERT INTO command_runs VALUES('01901630-0000-7000-8000-0000000000b2',1,'command 1','SKIPPED',NULL,0,NULL,NULL,0,0,0);
CREATE TABLE checkpoints (
    subject          TEXT    PRIMARY KEY   -- events: with all that belongs to them; output: that alone
                             CHECK (subject IN ('events', 'output')),
    through_sequence INTEGER NOT NULL,     -- behind this event, nothing is missing
    digest           BLOB,                 -- of this event, for events: what the first one behind it is chained to
    sequence         INTEGER NOT NULL      -- of the event that says so
) STRICT, WITHOUT ROWID;
INSERT INTO checkpoints VALUES('output',33,NULL,44);
CREATE INDEX events_by_release ON events (release_id, sequence);
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
CREATE INDEX release_labels_by_value ON release_labels (key, value);
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
PRAGMA application_id = 1380993073;
PRAGMA user_version = 2;
COMMIT;
