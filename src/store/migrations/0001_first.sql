-- The hot database: accounts, mailboxes, messages, the remote map, the journal, the outbox.
-- Times are milliseconds since 1970 UTC (…_ms). Never edit a released migration: add the next one.

-- One row. `generation` grows with every store creation and every restore from a copy: it makes CRDT actor ids unique.
CREATE TABLE store_info (
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  generation    INTEGER NOT NULL,
  clean         INTEGER NOT NULL            -- 1 only between a clean stop and the next open
) STRICT;

CREATE TABLE account (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  name              TEXT    NOT NULL UNIQUE,
  last_uid_validity INTEGER NOT NULL DEFAULT 0,   -- local UIDVALIDITY values are never used twice
  delimiter         TEXT    NOT NULL DEFAULT '',  -- upstream's hierarchy delimiter; '' while unknown, or flat
  last_sync_ms      INTEGER,
  last_error        TEXT,
  paused            INTEGER NOT NULL DEFAULT 0    -- the user said "offline"
) STRICT;

CREATE TABLE mailbox (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name            TEXT,                           -- NULL: deleted here, the deletion not yet confirmed upstream
  special_use     TEXT    NOT NULL DEFAULT '',
  selectable      INTEGER NOT NULL DEFAULT 1,
  read_only       INTEGER NOT NULL DEFAULT 0,
  uid_validity    INTEGER NOT NULL,
  uid_next        INTEGER NOT NULL DEFAULT 1,
  highest_mod_seq INTEGER NOT NULL DEFAULT 1,
  recent_from_uid INTEGER NOT NULL DEFAULT 1,
  UNIQUE (account_id, name)
) STRICT;

-- A name may be subscribed to without a mailbox of that name (RFC 3501 section 6.3.9).
CREATE TABLE subscription (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,
  PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- Byte strings. The bytes are in the content database under the same id.
CREATE TABLE content (
  id         INTEGER PRIMARY KEY,
  hash       BLOB    NOT NULL UNIQUE,            -- BLAKE3
  size_bytes INTEGER NOT NULL,
  summary    BLOB    NOT NULL                    -- message::Summary in postcard
) STRICT;

CREATE TABLE message (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  mailbox_id      INTEGER REFERENCES mailbox (id),   -- NULL: in no mailbox any more, recoverable
  uid             INTEGER,
  mod_seq         INTEGER NOT NULL,
  system_flags    INTEGER NOT NULL,
  keywords        TEXT    NOT NULL,
  internal_s      INTEGER NOT NULL,                  -- INTERNALDATE: seconds since 1970
  internal_offset INTEGER NOT NULL,                  -- and minutes east of UTC
  size_bytes      INTEGER NOT NULL,
  content_id      INTEGER REFERENCES content (id),   -- NULL: the bytes are not here
  email_id        TEXT,                              -- EMAILID or X-GM-MSGID
  saved_ms        INTEGER NOT NULL,                  -- when it came into its mailbox (RFC 8514)
  gone_ms         INTEGER,
  gone_from       TEXT,                              -- name of the mailbox it was in
  gone_why        TEXT,
  CHECK ((mailbox_id IS NULL) = (uid IS NULL)),
  CHECK ((mailbox_id IS NULL) = (gone_ms IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX message_place   ON message (mailbox_id, uid) WHERE mailbox_id IS NOT NULL;
CREATE INDEX        message_mod_seq ON message (mailbox_id, mod_seq) WHERE mailbox_id IS NOT NULL;
CREATE INDEX        message_unseen  ON message (mailbox_id, uid) WHERE mailbox_id IS NOT NULL AND system_flags & 1 = 0;
CREATE INDEX        message_deleted ON message (mailbox_id, uid) WHERE mailbox_id IS NOT NULL AND system_flags & 8 <> 0;
CREATE INDEX        message_keyword ON message (mailbox_id, keywords) WHERE mailbox_id IS NOT NULL AND keywords <> '';
CREATE INDEX        message_content ON message (content_id);
CREATE INDEX        message_gone    ON message (account_id, gone_ms) WHERE gone_ms IS NOT NULL;

-- UIDs that went, so that a session can be told what it missed.
CREATE TABLE expunged (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  mod_seq    INTEGER NOT NULL,
  uid        INTEGER NOT NULL,
  PRIMARY KEY (mailbox_id, mod_seq, uid)
) STRICT, WITHOUT ROWID;

-- Where upstream has what is here. The cursor (uid_validity, uid_next, highest_mod_seq, messages) covers only what was
-- really taken in.
CREATE TABLE remote_mailbox (
  mailbox_id      INTEGER PRIMARY KEY REFERENCES mailbox (id) ON DELETE CASCADE,
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name            TEXT    NOT NULL,                  -- exactly as the server spells it
  uid_validity    INTEGER NOT NULL DEFAULT 0,        -- 0: never covered
  uid_next        INTEGER NOT NULL DEFAULT 1,
  highest_mod_seq INTEGER NOT NULL DEFAULT 0,
  messages        INTEGER NOT NULL DEFAULT 0,
  permanent_flags TEXT    NOT NULL DEFAULT '',       -- flags the server keeps, space-separated
  any_keyword     INTEGER NOT NULL DEFAULT 1,        -- and whether it keeps any keyword
  UNIQUE (account_id, name)
) STRICT;

CREATE TABLE remote_message (
  message_id   INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  mailbox_id   INTEGER NOT NULL REFERENCES remote_mailbox (mailbox_id),  -- which holds it upstream, not where the user put it
  uid          INTEGER NOT NULL,                     -- or the message's id, negative: UIDVALIDITY changed, not found yet
  system_flags INTEGER NOT NULL,                     -- the base: what upstream was last seen to have
  keywords     TEXT    NOT NULL,
  UNIQUE (mailbox_id, uid)
) STRICT;

-- UIDs upstream that are not mirrored: their bytes were not given, or they are left to themselves.
CREATE TABLE remote_skipped (
  mailbox_id INTEGER NOT NULL REFERENCES remote_mailbox (mailbox_id) ON DELETE CASCADE,
  uid        INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  why        TEXT    NOT NULL,
  PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;

-- Messages that arrived in a round that is not closed: one of them may be what vanished from another mailbox.
CREATE TABLE remote_arrival (
  message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE
) STRICT;

-- Mailboxes whose mail vanished upstream in a mass: nothing goes here until the user decides.
CREATE TABLE quarantine (
  mailbox_id INTEGER PRIMARY KEY REFERENCES mailbox (id) ON DELETE CASCADE,
  since_ms   INTEGER NOT NULL,
  vanished   INTEGER NOT NULL,
  verdict    TEXT    NOT NULL DEFAULT 'open' CHECK (verdict IN ('open', 'confirmed', 'rejected'))
) STRICT;

-- Flag sets of messages whose flags are not settled: two replicas as merge::FlagReplicas in postcard.
CREATE TABLE flag_merge (
  message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  replicas   BLOB    NOT NULL
) STRICT;

CREATE TABLE journal (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  created_ms INTEGER NOT NULL,
  kind       TEXT    NOT NULL,                       -- the Op's variant in its kebab-case name
  op         TEXT    NOT NULL,                       -- journal::Op in JSON
  state      TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'in-flight', 'parked')),
  evidence   TEXT,                                   -- journal::Evidence in JSON
  why        TEXT,
  attempts   INTEGER NOT NULL DEFAULT 0,
  CHECK ((state = 'in-flight') = (evidence IS NOT NULL)),
  CHECK ((state = 'parked') = (why IS NOT NULL))
) STRICT;
CREATE INDEX journal_account ON journal (account_id, id);

-- The messages of an entry whose part is still to be done.
CREATE TABLE journal_message (
  message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
  entry_id   INTEGER NOT NULL REFERENCES journal (id) ON DELETE CASCADE,
  PRIMARY KEY (message_id, entry_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX journal_message_entry ON journal_message (entry_id);

CREATE TABLE conflict (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  at_ms      INTEGER NOT NULL,
  kind       TEXT    NOT NULL,                       -- merge::ConflictKind in its kebab-case name
  message_id INTEGER,
  mailbox    TEXT    NOT NULL,                       -- name at that time
  here       TEXT    NOT NULL,                       -- what was done here, for people
  upstream   TEXT    NOT NULL,                       -- what was done there
  result     TEXT    NOT NULL,                       -- what came of it
  dismissed  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX conflict_open ON conflict (account_id) WHERE dismissed = 0;

-- Three separate facts: the row (it is queued), handed_over_ms (a server took it over for some recipient), filed.
CREATE TABLE submission (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id        INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  created_ms        INTEGER NOT NULL,
  content_id        INTEGER NOT NULL REFERENCES content (id),
  envelope          TEXT    NOT NULL,                -- outbox::sender::Envelope in JSON
  message_id        TEXT    NOT NULL,                -- the Message-ID header, frozen here
  state             TEXT    NOT NULL CHECK (state IN ('queued', 'sending', 'settled', 'held', 'parked')),
  handed_over_ms    INTEGER,
  filed             INTEGER NOT NULL DEFAULT 0,      -- a copy is in Sent, or none is wanted
  attempts          INTEGER NOT NULL DEFAULT 0,
  next_attempt_ms   INTEGER NOT NULL,
  first_deferred_ms INTEGER,                         -- when a server first said "not now"
  last_error        TEXT
) STRICT;
CREATE INDEX submission_content ON submission (content_id);
CREATE INDEX submission_due ON submission (account_id, state, next_attempt_ms);

-- Recipients of a submission by their place in the envelope.
CREATE TABLE submission_recipient (
  submission_id INTEGER NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  place         INTEGER NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('waiting', 'accepted', 'failed')),
  reply         TEXT,                                -- outbox::sender::Reply in JSON
  told          INTEGER NOT NULL DEFAULT 0,          -- its failure was reported by a DSN
  PRIMARY KEY (submission_id, place)
) STRICT, WITHOUT ROWID;

-- refserver: what was taken for whom lately, so that a client that did not hear our answer and sends again makes no double.
CREATE TABLE taken (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  key        BLOB    NOT NULL,                       -- BLAKE3 of sender, recipient and bytes
  at_ms      INTEGER NOT NULL,
  PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at_ms);

INSERT INTO store_info (id, generation, clean) VALUES (1, 1, 1);
