-- Annotations (RFC 5464) of mailboxes and of accounts; limits of accounts, and how much of them is used (RFC 9208).

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

-- NULL: no limit.
ALTER TABLE account ADD COLUMN quota_bytes    INTEGER;
ALTER TABLE account ADD COLUMN quota_messages INTEGER;
-- What is in the account's mailboxes, kept by the triggers below.
ALTER TABLE account ADD COLUMN used_bytes     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN used_messages  INTEGER NOT NULL DEFAULT 0;

UPDATE account SET
  used_bytes    = (SELECT coalesce(sum(size_bytes), 0) FROM message WHERE account_id = account.id AND mailbox_id IS NOT NULL),
  used_messages = (SELECT count(*) FROM message WHERE account_id = account.id AND mailbox_id IS NOT NULL);

CREATE TRIGGER message_came AFTER INSERT ON message WHEN new.mailbox_id IS NOT NULL BEGIN
  UPDATE account SET used_bytes = used_bytes + new.size_bytes, used_messages = used_messages + 1 WHERE id = new.account_id;
END;
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
