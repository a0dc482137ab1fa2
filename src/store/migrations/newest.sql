-- The whole of a new hot database: what all migrations in turn end in. A test compares the two.
-- Times are milliseconds since 1970 UTC (…_ms).

-- One row. `generation` grows with every store creation and every restore from a copy: it makes CRDT actor ids unique.
CREATE TABLE store_info (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  generation     INTEGER NOT NULL,
  clean          INTEGER NOT NULL,                   -- 1 only between a clean stop and the next open
  synced_content INTEGER NOT NULL DEFAULT 0          -- the bytes of that content and of every older one are known to be on disk
) STRICT;

CREATE TABLE account (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  name              TEXT    NOT NULL UNIQUE,
  last_uid_validity INTEGER NOT NULL DEFAULT 0,      -- local UIDVALIDITY values are never used twice
  delimiter         TEXT    NOT NULL DEFAULT '',     -- upstream's hierarchy delimiter; '' while unknown, or flat
  last_sync_ms      INTEGER,
  last_error        TEXT,
  paused            INTEGER NOT NULL DEFAULT 0,      -- the user said "offline"
  late_copies       INTEGER NOT NULL DEFAULT 0,      -- copies that others make in Sent were seen to come late: ours waits for them
  mirror            TEXT    NOT NULL DEFAULT '',     -- the choice of mailboxes that was carried out last; '' before the first time
  quota_bytes       INTEGER,                         -- NULL: no limit
  quota_messages    INTEGER,
  used_bytes        INTEGER NOT NULL DEFAULT 0,      -- what is in the account's mailboxes
  used_messages     INTEGER NOT NULL DEFAULT 0,
  maildrop          INTEGER NOT NULL DEFAULT 0,      -- its mail is taken from a POP3 maildrop: nothing is done there, so its journal is empty
  metered           INTEGER                          -- NULL: as the configuration says
) STRICT;

CREATE TABLE mailbox (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name            TEXT,                              -- NULL: deleted here, the deletion not yet confirmed upstream
  special_use     TEXT    NOT NULL DEFAULT '',
  selectable      INTEGER NOT NULL DEFAULT 1,
  read_only       INTEGER NOT NULL DEFAULT 0,
  uid_validity    INTEGER NOT NULL,
  uid_next        INTEGER NOT NULL DEFAULT 1,
  highest_mod_seq INTEGER NOT NULL DEFAULT 1,
  recent_from_uid INTEGER NOT NULL DEFAULT 1,
  hidden_name     TEXT,                              -- left out of the mirror since the configuration says so: the name it had
  hidden_ms       INTEGER,
  UNIQUE (account_id, name)
) STRICT;

-- A name may be subscribed to without a mailbox of that name (RFC 3501 section 6.3.9).
CREATE TABLE subscription (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,
  PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- Byte strings. Where they are is in content_place.
CREATE TABLE content (
  id              INTEGER PRIMARY KEY,
  hash            BLOB    NOT NULL UNIQUE,           -- BLAKE3
  size_bytes      INTEGER NOT NULL,
  summary         BLOB    NOT NULL,                  -- message::Summary in postcard
  message_id_hash INTEGER                            -- first eight bytes of the BLAKE3 of its Message-ID; 0: it has none; NULL: to be reckoned
) STRICT;
CREATE INDEX content_message_id ON content (message_id_hash);

CREATE TABLE message (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  mailbox_id      INTEGER REFERENCES mailbox (id),   -- NULL: in no mailbox any more, recoverable
  uid             INTEGER,
  internal_s      INTEGER NOT NULL,                  -- INTERNALDATE: seconds since 1970
  internal_offset INTEGER NOT NULL,                  -- and minutes east of UTC
  size_bytes      INTEGER NOT NULL,
  content_id      INTEGER REFERENCES content (id),   -- NULL: the bytes are not here
  email_id        TEXT,                              -- EMAILID or X-GM-MSGID
  saved_ms        INTEGER NOT NULL,                  -- when it came into its mailbox (RFC 8514)
  gone_ms         INTEGER,
  gone_from       TEXT,                              -- name of the mailbox it was in
  gone_why        TEXT,
  object_id       TEXT    NOT NULL DEFAULT '',       -- EMAILID (RFC 8474); a copy has its source's
  outline_id      INTEGER REFERENCES outline (id),   -- not all bytes are here
  told_bytes      INTEGER,                           -- RFC822.SIZE where clients were told another one than the bytes have
  pinned          INTEGER NOT NULL DEFAULT 0,        -- the user wants the bytes here, whatever the configuration says
  withheld        INTEGER NOT NULL DEFAULT 0,        -- how often upstream was asked for the bytes and did not give them
  apart_flags     INTEGER NOT NULL DEFAULT 0,        -- its flags, while it is in no mailbox
  apart_keywords  TEXT    NOT NULL DEFAULT '',
  CHECK ((mailbox_id IS NULL) = (uid IS NULL)),
  CHECK ((mailbox_id IS NULL) = (gone_ms IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX message_place   ON message (mailbox_id, uid) WHERE mailbox_id IS NOT NULL;
CREATE INDEX message_content ON message (content_id);
CREATE INDEX message_gone    ON message (account_id, gone_ms) WHERE gone_ms IS NOT NULL;
CREATE INDEX message_outline ON message (outline_id) WHERE outline_id IS NOT NULL;
CREATE INDEX message_email_id ON message (email_id) WHERE email_id IS NOT NULL;

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
  is_ahead        INTEGER NOT NULL DEFAULT 0,        -- what is known of it came behind its cursor
  half_seen       INTEGER NOT NULL DEFAULT 0,        -- in how many syncs in a row it opened and could not be looked into
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
  again_ms   INTEGER NOT NULL DEFAULT 0,             -- when it is asked for again
  PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;

-- Messages that arrived in a round that is not closed: one of them may be what vanished from another mailbox.
CREATE TABLE remote_arrival (
  message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  waits      INTEGER NOT NULL DEFAULT 0              -- it may be a message that moved: nobody sees it before the round is closed
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
  retry_ms   INTEGER,                                -- when a parked entry is tried again by itself; NULL: only the user has it tried again
  tried      INTEGER NOT NULL DEFAULT 0,             -- when it was sent, in ms, without an answer yet; 0: it was not
  CHECK ((state = 'in-flight') = (evidence IS NOT NULL)),
  CHECK ((state = 'parked') = (why IS NOT NULL))
) STRICT;
CREATE INDEX journal_account ON journal (account_id, id);
CREATE INDEX journal_folders ON journal (account_id, id)
  WHERE kind IN ('create-mailbox', 'rename-mailbox', 'delete-mailbox', 'subscribe');
CREATE INDEX journal_set_aside ON journal (account_id, id) WHERE state <> 'pending';

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
  last_error        TEXT,
  not_before_ms     INTEGER NOT NULL DEFAULT 0,      -- the user's, however the world changes
  delay_told        INTEGER NOT NULL DEFAULT 0,      -- that it takes its time was reported
  copy_id           INTEGER,                         -- the message in Sent, once filed
  edited_until_ms   INTEGER NOT NULL DEFAULT 0,      -- it lies in an editor, and does not go out before
  replaced_by       INTEGER REFERENCES submission (id) ON DELETE SET NULL,
  in_doubt          INTEGER NOT NULL DEFAULT 0       -- an attempt ended before its answer: those who wait for it may have it
) STRICT;
CREATE INDEX submission_content ON submission (content_id);
CREATE INDEX submission_due ON submission (account_id, state, next_attempt_ms);
CREATE INDEX submission_message_id ON submission (message_id);
CREATE INDEX submission_delayed ON submission (account_id, first_deferred_ms) WHERE state = 'queued' AND delay_told = 0;
CREATE INDEX submission_settled ON submission (account_id, created_ms) WHERE state = 'settled';
CREATE INDEX submission_unfiled ON submission (account_id, handed_over_ms) WHERE filed = 0;
CREATE INDEX submission_copied ON submission (account_id, handed_over_ms) WHERE copy_id IS NOT NULL;
CREATE INDEX submission_edited ON submission (account_id) WHERE edited_until_ms > 0;
CREATE INDEX submission_replaced ON submission (replaced_by) WHERE replaced_by IS NOT NULL;

-- refserver: what was taken for whom lately, so that a client that did not hear our answer and sends again makes no double.
CREATE TABLE taken (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  key        BLOB    NOT NULL,                       -- BLAKE3 of sender, recipient and bytes
  at_ms      INTEGER NOT NULL,
  PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at_ms);

-- Annotations (RFC 5464) of mailboxes and of accounts.
CREATE TABLE mailbox_annotation (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  entry      TEXT    NOT NULL,                       -- in lower case
  value      BLOB    NOT NULL,
  PRIMARY KEY (mailbox_id, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_annotation (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  entry      TEXT    NOT NULL,
  value      BLOB    NOT NULL,
  PRIMARY KEY (account_id, entry)
) STRICT, WITHOUT ROWID;

-- By what contents are sorted and threaded (RFC 5256): message::Keys in postcard. A content without a row has none.
CREATE TABLE content_keys (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE,
  keys       BLOB    NOT NULL
) STRICT;

-- Contents whose keys are still to be made.
CREATE TABLE content_unkeyed (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE
) STRICT;

-- Of a parked entry of which nobody could see whether it was done: journal::Evidence in JSON, to look again by.
CREATE TABLE journal_doubt (
  entry_id INTEGER PRIMARY KEY REFERENCES journal (id) ON DELETE CASCADE,
  evidence TEXT    NOT NULL
) STRICT;

-- Messages taken from maildrops, for as long as the server may still have them.
CREATE TABLE popped (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  message_id INTEGER REFERENCES message (id) ON DELETE SET NULL,  -- NULL: gone here, and past recovery
  unique_id  TEXT    NOT NULL,                       -- as UIDL tells it; '' where it tells none
  size_bytes INTEGER NOT NULL,                       -- as LIST tells it
  header     BLOB    NOT NULL,                       -- of the header fields that a server leaves alone
  whole      BLOB    NOT NULL,                       -- of those and the body
  taken_ms   INTEGER NOT NULL,
  going      INTEGER NOT NULL DEFAULT 0,             -- it may have been deleted there by us
  missing_ms INTEGER                                 -- since when the server does not list it
) STRICT;
CREATE INDEX popped_account ON popped (account_id);
CREATE INDEX popped_message ON popped (message_id);

-- Messages that a maildrop lists and does not give.
CREATE TABLE popped_refused (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  unique_id  TEXT    NOT NULL,
  why        TEXT    NOT NULL,
  tries      INTEGER NOT NULL,
  again_ms   INTEGER NOT NULL,                       -- not asked for again before
  PRIMARY KEY (account_id, unique_id)
) STRICT, WITHOUT ROWID;

-- Messages of which not all bytes are here: the header, and what upstream says of the rest. Local copies share an outline.
CREATE TABLE outline (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  header_id INTEGER NOT NULL REFERENCES content (id),  -- the header's bytes, its empty line included
  summary   BLOB    NOT NULL,                        -- message::Summary in postcard, laid out by message::outline
  bare      INTEGER NOT NULL DEFAULT 0               -- of a maildrop, which gave the header alone: nobody told what parts it has
) STRICT;
CREATE INDEX outline_header ON outline (header_id);

-- Parts of such messages that were fetched alone.
CREATE TABLE section (
  outline_id INTEGER NOT NULL REFERENCES outline (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,                       -- as between the brackets of FETCH; with <first.count>, a piece of it
  content_id INTEGER NOT NULL REFERENCES content (id),
  PRIMARY KEY (outline_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX section_content ON section (content_id);

-- Bytes of bodies fetched by day (days since 1970, UTC), and those of them for which a mail client or the user asked.
CREATE TABLE spent (
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  day             INTEGER NOT NULL,
  bytes           INTEGER NOT NULL,
  on_demand_bytes INTEGER NOT NULL,
  PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;

-- Who may do what with a mailbox (RFC 4314), as far as it is not what goes without saying: the owner may do everything,
-- nobody else anything.
CREATE TABLE mailbox_acl (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  identifier TEXT    NOT NULL,                       -- a user's name, or one for all; behind a '-' it takes rights away
  rights     INTEGER NOT NULL,                       -- types::Rights as bits
  PRIMARY KEY (mailbox_id, identifier)
) STRICT, WITHOUT ROWID;
CREATE INDEX mailbox_acl_identifier ON mailbox_acl (identifier);

-- What others than its owner have read of a mailbox, or marked as not read again.
CREATE TABLE guest_seen (
  message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  mailbox_id INTEGER NOT NULL,                       -- the message's
  seen       INTEGER NOT NULL,
  mod_seq    INTEGER NOT NULL,                       -- of the mailbox, when that changed
  PRIMARY KEY (message_id, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX guest_seen_mailbox ON guest_seen (account_id, mailbox_id, mod_seq);

-- Annotations that others than its owner made of a mailbox for themselves (RFC 5464 section 3.3).
CREATE TABLE guest_annotation (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  entry      TEXT    NOT NULL,                       -- in lower case
  value      BLOB    NOT NULL,
  PRIMARY KEY (mailbox_id, account_id, entry)
) STRICT, WITHOUT ROWID;

-- How much may be kept on the server, and is, as it told last (RFC 9208).
CREATE TABLE upstream_quota (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  root       TEXT    NOT NULL,
  resource   TEXT    NOT NULL,                       -- in upper case
  used       INTEGER NOT NULL,                       -- of STORAGE in bytes
  maximum    INTEGER NOT NULL,
  PRIMARY KEY (account_id, root, resource)
) STRICT, WITHOUT ROWID;

-- How many octets contents have more on a line that ends its lines with CRLF, as they stand and with a header in ASCII
-- (message::octets). A content without a row has none.
CREATE TABLE content_growth (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE,
  utf8       INTEGER NOT NULL,
  ascii      INTEGER NOT NULL
) STRICT;

-- Contents that are still to be measured.
CREATE TABLE content_unmeasured (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE
) STRICT;

-- Recipients of a submission by their place in the envelope.
CREATE TABLE submission_recipient (
  submission_id INTEGER NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  place         INTEGER NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('waiting', 'accepted', 'failed', 'cancelled')),
  reply         TEXT,                                -- outbox::sender::Reply in JSON
  told          INTEGER NOT NULL DEFAULT 0,          -- its failure was reported by a DSN
  unreported    INTEGER NOT NULL DEFAULT 0,          -- the server that accepted it reports no success: that it was handed on is ours to report
  PRIMARY KEY (submission_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX submission_recipient_untold ON submission_recipient (submission_id)
  WHERE told = 0 AND (state = 'failed' OR state = 'accepted' AND unreported = 1);

-- Where the bytes of contents are: in which pack (content-N.pack), from where on, and how many. A content without a row
-- is known without its bytes. The numbers of contents are given here, and never twice.
CREATE TABLE content_place (
  content_id INTEGER PRIMARY KEY AUTOINCREMENT REFERENCES content (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pack       INTEGER NOT NULL,
  start      INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL
) STRICT;

-- The system flags of 64 UIDs in a row, a bit each. Bit n of block b is UID 64 b + n; where `present` has none, no other
-- column has one.
CREATE TABLE flag_block (
  mailbox_id   INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  block        INTEGER NOT NULL,
  mod_seq      INTEGER NOT NULL,                     -- the latest change among them, be it one that a guest sees alone
  base_mod_seq INTEGER NOT NULL,                     -- of the messages that have none in message_mod_seq
  present      INTEGER NOT NULL,
  seen         INTEGER NOT NULL,
  answered     INTEGER NOT NULL,
  flagged      INTEGER NOT NULL,
  deleted      INTEGER NOT NULL,
  draft        INTEGER NOT NULL,
  PRIMARY KEY (mailbox_id, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX flag_block_mod_seq ON flag_block (mailbox_id, mod_seq);
CREATE INDEX flag_block_unseen  ON flag_block (mailbox_id, block) WHERE seen <> present;
CREATE INDEX flag_block_deleted ON flag_block (mailbox_id, block) WHERE deleted <> 0;

-- Mod-sequences of messages that changed alone.
CREATE TABLE message_mod_seq (
  mailbox_id INTEGER NOT NULL,
  uid        INTEGER NOT NULL,
  mod_seq    INTEGER NOT NULL,
  PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;

-- Keywords: a row for each combination that some of 64 UIDs have, and a bit for each of those.
CREATE TABLE keyword_block (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  block      INTEGER NOT NULL,
  keywords   TEXT    NOT NULL,
  bits       INTEGER NOT NULL,                       -- of a UID in no more than one row
  PRIMARY KEY (mailbox_id, block, keywords)
) STRICT, WITHOUT ROWID;
CREATE INDEX keyword_block_text ON keyword_block (mailbox_id, keywords);

-- All of that by message.
CREATE VIEW message_flags (message_id, mailbox_id, uid, mod_seq, system_flags, keywords) AS
  SELECT m.id, m.mailbox_id, m.uid, coalesce(q.mod_seq, b.base_mod_seq, 1),
    m.apart_flags | coalesce((b.seen >> (m.uid & 63) & 1) | (b.answered >> (m.uid & 63) & 1) * 2
      | (b.flagged >> (m.uid & 63) & 1) * 4 | (b.deleted >> (m.uid & 63) & 1) * 8 | (b.draft >> (m.uid & 63) & 1) * 16, 0),
    coalesce((SELECT k.keywords FROM keyword_block AS k
      WHERE k.mailbox_id = m.mailbox_id AND k.block = m.uid >> 6 AND k.bits >> (m.uid & 63) & 1), m.apart_keywords)
  FROM message AS m
  LEFT JOIN flag_block AS b ON b.mailbox_id = m.mailbox_id AND b.block = m.uid >> 6
  LEFT JOIN message_mod_seq AS q ON q.mailbox_id = m.mailbox_id AND q.uid = m.uid;

-- What goes from an account's mailboxes is counted here; what comes, by who adds it, all that comes at once together.
CREATE TRIGGER message_went AFTER DELETE ON message WHEN old.mailbox_id IS NOT NULL BEGIN
  UPDATE account SET used_bytes = used_bytes - old.size_bytes, used_messages = used_messages - 1 WHERE id = old.account_id;
END;

CREATE TRIGGER message_changed AFTER UPDATE OF mailbox_id, size_bytes ON message
WHEN (old.mailbox_id IS NULL) <> (new.mailbox_id IS NULL) OR old.size_bytes <> new.size_bytes BEGIN
  UPDATE account SET
    used_bytes    = used_bytes - (old.mailbox_id IS NOT NULL) * old.size_bytes + (new.mailbox_id IS NOT NULL) * new.size_bytes,
    used_messages = used_messages - (old.mailbox_id IS NOT NULL) + (new.mailbox_id IS NOT NULL)
  WHERE id = new.account_id;
END;

CREATE TRIGGER outline_left_by_delete AFTER DELETE ON message WHEN old.outline_id IS NOT NULL BEGIN
  DELETE FROM outline WHERE id = old.outline_id AND NOT EXISTS (SELECT 1 FROM message WHERE outline_id = old.outline_id);
END;

CREATE TRIGGER outline_left_by_update AFTER UPDATE OF outline_id ON message WHEN old.outline_id IS NOT NULL BEGIN
  DELETE FROM outline WHERE id = old.outline_id AND NOT EXISTS (SELECT 1 FROM message WHERE outline_id = old.outline_id);
END;

-- A message that is moved has a new mod-sequence in its new mailbox; one that is in none is seen by nobody.
CREATE TRIGGER guest_seen_moved AFTER UPDATE OF mailbox_id ON message
WHEN new.mailbox_id IS NOT NULL AND old.mailbox_id IS NOT new.mailbox_id BEGIN
  UPDATE guest_seen SET mailbox_id = new.mailbox_id, mod_seq = 0 WHERE message_id = new.id;
END;

CREATE TRIGGER guest_seen_gone AFTER UPDATE OF mailbox_id ON message
WHEN new.mailbox_id IS NULL AND old.mailbox_id IS NOT NULL BEGIN
  DELETE FROM guest_seen WHERE message_id = new.id;
END;

-- A message that leaves its place takes its flags along, and leaves nothing there.
CREATE TRIGGER message_flags_gone AFTER DELETE ON message WHEN old.mailbox_id IS NOT NULL BEGIN
  UPDATE flag_block SET present = present & ~(1 << (old.uid & 63)), seen = seen & ~(1 << (old.uid & 63)),
    answered = answered & ~(1 << (old.uid & 63)), flagged = flagged & ~(1 << (old.uid & 63)),
    deleted = deleted & ~(1 << (old.uid & 63)), draft = draft & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6;
  DELETE FROM message_mod_seq WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
  UPDATE keyword_block SET bits = bits & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6 AND bits >> (old.uid & 63) & 1;
  DELETE FROM keyword_block WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6 AND bits = 0;
END;

CREATE TRIGGER message_flags_left AFTER UPDATE OF mailbox_id, uid ON message
WHEN old.mailbox_id IS NOT NULL AND (old.mailbox_id IS NOT new.mailbox_id OR old.uid IS NOT new.uid) BEGIN
  UPDATE message SET apart_keywords = coalesce((
    SELECT keywords FROM keyword_block
    WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6 AND bits >> (old.uid & 63) & 1), ''), apart_flags = coalesce((
    SELECT (seen >> (old.uid & 63) & 1) | (answered >> (old.uid & 63) & 1) * 2 | (flagged >> (old.uid & 63) & 1) * 4
      | (deleted >> (old.uid & 63) & 1) * 8 | (draft >> (old.uid & 63) & 1) * 16
    FROM flag_block WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6), 0) WHERE id = new.id;
  UPDATE flag_block SET present = present & ~(1 << (old.uid & 63)), seen = seen & ~(1 << (old.uid & 63)),
    answered = answered & ~(1 << (old.uid & 63)), flagged = flagged & ~(1 << (old.uid & 63)),
    deleted = deleted & ~(1 << (old.uid & 63)), draft = draft & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6;
  DELETE FROM message_mod_seq WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
  UPDATE keyword_block SET bits = bits & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6 AND bits >> (old.uid & 63) & 1;
  DELETE FROM keyword_block WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6 AND bits = 0;
END;

INSERT INTO store_info (id, generation, clean) VALUES (1, 1, 1);
INSERT INTO sqlite_sequence (name, seq) VALUES ('content_place', 0);
