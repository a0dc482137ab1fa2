-- The flags of messages and their mod-sequences, apart from all else that is known of them: many of them change at once, and
-- the narrower the rows are, the fewer pages that writes.

CREATE TABLE message_flags (
  message_id   INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  mailbox_id   INTEGER,                              -- both as the message has them
  uid          INTEGER,
  mod_seq      INTEGER NOT NULL,
  system_flags INTEGER NOT NULL,
  keywords     TEXT    NOT NULL
) STRICT;
INSERT INTO message_flags (message_id, mailbox_id, uid, mod_seq, system_flags, keywords)
  SELECT id, mailbox_id, uid, mod_seq, system_flags, keywords FROM message;
CREATE UNIQUE INDEX message_flags_place ON message_flags (mailbox_id, uid);
CREATE INDEX message_flags_unseen  ON message_flags (mailbox_id, uid) WHERE system_flags & 1 = 0;
CREATE INDEX message_flags_deleted ON message_flags (mailbox_id, uid) WHERE system_flags & 8 <> 0;
CREATE INDEX message_flags_keyword ON message_flags (mailbox_id, keywords) WHERE keywords <> '';

-- The latest change among 64 UIDs each, be it one that a guest sees alone: what changed since a moment is looked for where
-- something did. An index of every message's mod-sequence would cost as much as the flags themselves.
CREATE TABLE uid_block (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  block      INTEGER NOT NULL,                       -- UID / 64
  mod_seq    INTEGER NOT NULL,
  PRIMARY KEY (mailbox_id, block)
) STRICT, WITHOUT ROWID;
INSERT INTO uid_block (mailbox_id, block, mod_seq)
  SELECT m.mailbox_id, m.uid / 64, max(max(m.mod_seq, coalesce(g.mod_seq, 0)))
  FROM message AS m LEFT JOIN guest_seen AS g ON g.message_id = m.id
  WHERE m.mailbox_id IS NOT NULL GROUP BY m.mailbox_id, m.uid / 64;
CREATE INDEX uid_block_mod_seq ON uid_block (mailbox_id, mod_seq);

DROP INDEX message_mod_seq;
DROP INDEX message_unseen;
DROP INDEX message_deleted;
DROP INDEX message_keyword;
ALTER TABLE message DROP COLUMN mod_seq;
ALTER TABLE message DROP COLUMN system_flags;
ALTER TABLE message DROP COLUMN keywords;
