-- Keywords in blocks as well: a row for each combination that some of its 64 UIDs have, and a bit for each of those.
CREATE TABLE keyword_block (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  block      INTEGER NOT NULL,
  keywords   TEXT    NOT NULL,
  bits       INTEGER NOT NULL,                       -- of a UID in no more than one row
  PRIMARY KEY (mailbox_id, block, keywords)
) STRICT, WITHOUT ROWID;
INSERT INTO keyword_block (mailbox_id, block, keywords, bits)
  SELECT mailbox_id, uid >> 6, keywords, sum(1 << (uid & 63)) FROM message_keywords GROUP BY mailbox_id, uid >> 6, keywords;
CREATE INDEX keyword_block_text ON keyword_block (mailbox_id, keywords);

DROP TRIGGER message_flags_gone;
DROP TRIGGER message_flags_left;
DROP VIEW message_flags;
DROP TABLE message_keywords;

CREATE VIEW message_flags (message_id, mailbox_id, uid, mod_seq, system_flags, keywords) AS
  SELECT m.id, m.mailbox_id, m.uid, coalesce(q.mod_seq, b.base_mod_seq, 1),
    m.apart_flags | coalesce((b.seen >> (m.uid & 63) & 1) | (b.answered >> (m.uid & 63) & 1) * 2
      | (b.flagged >> (m.uid & 63) & 1) * 4 | (b.deleted >> (m.uid & 63) & 1) * 8 | (b.draft >> (m.uid & 63) & 1) * 16, 0),
    coalesce((SELECT k.keywords FROM keyword_block AS k
      WHERE k.mailbox_id = m.mailbox_id AND k.block = m.uid >> 6 AND k.bits >> (m.uid & 63) & 1), m.apart_keywords)
  FROM message AS m
  LEFT JOIN flag_block AS b ON b.mailbox_id = m.mailbox_id AND b.block = m.uid >> 6
  LEFT JOIN message_mod_seq AS q ON q.mailbox_id = m.mailbox_id AND q.uid = m.uid;

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
