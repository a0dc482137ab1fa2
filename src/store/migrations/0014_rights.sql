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

-- A message that is moved has a new mod-sequence in its new mailbox; one that is in none is seen by nobody.
CREATE TRIGGER guest_seen_moved AFTER UPDATE OF mailbox_id ON message
WHEN new.mailbox_id IS NOT NULL AND old.mailbox_id IS NOT new.mailbox_id BEGIN
  UPDATE guest_seen SET mailbox_id = new.mailbox_id, mod_seq = 0 WHERE message_id = new.id;
END;
CREATE TRIGGER guest_seen_gone AFTER UPDATE OF mailbox_id ON message
WHEN new.mailbox_id IS NULL AND old.mailbox_id IS NOT NULL BEGIN
  DELETE FROM guest_seen WHERE message_id = new.id;
END;

-- Annotations that others than its owner made of a mailbox for themselves (RFC 5464 section 3.3).
CREATE TABLE guest_annotation (
  mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  entry      TEXT    NOT NULL,                       -- in lower case
  value      BLOB    NOT NULL,
  PRIMARY KEY (mailbox_id, account_id, entry)
) STRICT, WITHOUT ROWID;
