-- The account's mail is taken from a POP3 maildrop. Nothing that is done here is to be done there, so its journal is empty.
ALTER TABLE account ADD COLUMN maildrop INTEGER NOT NULL DEFAULT 0;

-- Messages taken from maildrops, for as long as the server may still have them.
CREATE TABLE popped (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  message_id INTEGER REFERENCES message (id) ON DELETE SET NULL,  -- NULL: gone here, and past recovery
  unique_id  TEXT    NOT NULL,                                    -- as UIDL tells it; '' where it tells none
  size_bytes INTEGER NOT NULL,                                    -- as LIST tells it
  header     BLOB    NOT NULL,                                    -- of the header fields that a server leaves alone
  whole      BLOB    NOT NULL,                                    -- of those and the body
  taken_ms   INTEGER NOT NULL,
  going      INTEGER NOT NULL DEFAULT 0,                          -- it may have been deleted there by us
  missing_ms INTEGER                                              -- since when the server does not list it
) STRICT;
CREATE INDEX popped_account ON popped (account_id);
CREATE INDEX popped_message ON popped (message_id);

-- Messages that a server lists and does not give.
CREATE TABLE popped_refused (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  unique_id  TEXT    NOT NULL,
  why        TEXT    NOT NULL,
  tries      INTEGER NOT NULL,
  again_ms   INTEGER NOT NULL,                                    -- not asked for again before
  PRIMARY KEY (account_id, unique_id)
) STRICT, WITHOUT ROWID;
