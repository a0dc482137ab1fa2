-- The system flags of 64 UIDs in a row, a bit each: many messages are flagged at once, and to write a row for each takes
-- longer than all the rest. Bit n of block b is UID 64 b + n; where `present` has none, no other column has one.
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
INSERT INTO flag_block (mailbox_id, block, mod_seq, base_mod_seq, present, seen, answered, flagged, deleted, draft)
  SELECT f.mailbox_id, f.uid >> 6, max(coalesce(u.mod_seq, 0), max(f.mod_seq)), max(f.mod_seq), sum(1 << (f.uid & 63)),
    sum((f.system_flags & 1) << (f.uid & 63)), sum((f.system_flags >> 1 & 1) << (f.uid & 63)),
    sum((f.system_flags >> 2 & 1) << (f.uid & 63)), sum((f.system_flags >> 3 & 1) << (f.uid & 63)),
    sum((f.system_flags >> 4 & 1) << (f.uid & 63))
  FROM message_flags AS f LEFT JOIN uid_block AS u ON u.mailbox_id = f.mailbox_id AND u.block = f.uid >> 6
  WHERE f.mailbox_id IS NOT NULL GROUP BY f.mailbox_id, f.uid >> 6;
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
INSERT INTO message_mod_seq (mailbox_id, uid, mod_seq)
  SELECT f.mailbox_id, f.uid, f.mod_seq
  FROM message_flags AS f JOIN flag_block AS b ON b.mailbox_id = f.mailbox_id AND b.block = f.uid >> 6
  WHERE f.mod_seq <> b.base_mod_seq;

-- Keywords of messages that have some.
CREATE TABLE message_keywords (
  mailbox_id INTEGER NOT NULL,
  uid        INTEGER NOT NULL,
  keywords   TEXT    NOT NULL,
  PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO message_keywords (mailbox_id, uid, keywords)
  SELECT mailbox_id, uid, keywords FROM message_flags WHERE mailbox_id IS NOT NULL AND keywords <> '';
CREATE INDEX message_keywords_text ON message_keywords (mailbox_id, keywords);

-- The flags of a message that is in no mailbox.
ALTER TABLE message ADD COLUMN apart_flags    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN apart_keywords TEXT    NOT NULL DEFAULT '';
UPDATE message SET (apart_flags, apart_keywords) = (SELECT system_flags, keywords FROM message_flags WHERE message_id = message.id)
  WHERE mailbox_id IS NULL;

DROP TABLE uid_block;
DROP TABLE message_flags;

-- All of that by message.
CREATE VIEW message_flags (message_id, mailbox_id, uid, mod_seq, system_flags, keywords) AS
  SELECT m.id, m.mailbox_id, m.uid, coalesce(q.mod_seq, b.base_mod_seq, 1),
    m.apart_flags | coalesce((b.seen >> (m.uid & 63) & 1) | (b.answered >> (m.uid & 63) & 1) * 2
      | (b.flagged >> (m.uid & 63) & 1) * 4 | (b.deleted >> (m.uid & 63) & 1) * 8 | (b.draft >> (m.uid & 63) & 1) * 16, 0),
    coalesce(k.keywords, m.apart_keywords)
  FROM message AS m
  LEFT JOIN flag_block AS b ON b.mailbox_id = m.mailbox_id AND b.block = m.uid >> 6
  LEFT JOIN message_mod_seq AS q ON q.mailbox_id = m.mailbox_id AND q.uid = m.uid
  LEFT JOIN message_keywords AS k ON k.mailbox_id = m.mailbox_id AND k.uid = m.uid;

-- A message that leaves its place takes its flags along, and leaves nothing there.
CREATE TRIGGER message_flags_gone AFTER DELETE ON message WHEN old.mailbox_id IS NOT NULL BEGIN
  UPDATE flag_block SET present = present & ~(1 << (old.uid & 63)), seen = seen & ~(1 << (old.uid & 63)),
    answered = answered & ~(1 << (old.uid & 63)), flagged = flagged & ~(1 << (old.uid & 63)),
    deleted = deleted & ~(1 << (old.uid & 63)), draft = draft & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6;
  DELETE FROM message_mod_seq WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
  DELETE FROM message_keywords WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
END;
CREATE TRIGGER message_flags_left AFTER UPDATE OF mailbox_id, uid ON message
WHEN old.mailbox_id IS NOT NULL AND (old.mailbox_id IS NOT new.mailbox_id OR old.uid IS NOT new.uid) BEGIN
  UPDATE message SET apart_keywords = coalesce((
    SELECT keywords FROM message_keywords WHERE mailbox_id = old.mailbox_id AND uid = old.uid), ''), apart_flags = coalesce((
    SELECT (seen >> (old.uid & 63) & 1) | (answered >> (old.uid & 63) & 1) * 2 | (flagged >> (old.uid & 63) & 1) * 4
      | (deleted >> (old.uid & 63) & 1) * 8 | (draft >> (old.uid & 63) & 1) * 16
    FROM flag_block WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6), 0) WHERE id = new.id;
  UPDATE flag_block SET present = present & ~(1 << (old.uid & 63)), seen = seen & ~(1 << (old.uid & 63)),
    answered = answered & ~(1 << (old.uid & 63)), flagged = flagged & ~(1 << (old.uid & 63)),
    deleted = deleted & ~(1 << (old.uid & 63)), draft = draft & ~(1 << (old.uid & 63))
  WHERE mailbox_id = old.mailbox_id AND block = old.uid >> 6;
  DELETE FROM message_mod_seq WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
  DELETE FROM message_keywords WHERE mailbox_id = old.mailbox_id AND uid = old.uid;
END;
