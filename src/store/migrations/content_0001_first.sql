-- The content database: message bytes in pieces. Append-mostly. A row here is made, and made durable, before a row of
-- the hot database refers to it; one to which none refers is swept.

CREATE TABLE content (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  complete   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE chunk (
  content_id INTEGER NOT NULL REFERENCES content (id) ON DELETE CASCADE,
  start      INTEGER NOT NULL,                       -- offset of its first byte
  bytes      BLOB    NOT NULL,
  PRIMARY KEY (content_id, start)
) STRICT;
