-- Messages of which not all bytes are here: the header, and what upstream says of the rest. Local copies share an outline.

CREATE TABLE outline (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  header_id INTEGER NOT NULL REFERENCES content (id),   -- the header's bytes, its empty line included
  summary   BLOB    NOT NULL                            -- message::Summary in postcard, laid out by message::outline
) STRICT;
CREATE INDEX outline_header ON outline (header_id);

-- Parts of such messages that were fetched alone.
CREATE TABLE section (
  outline_id INTEGER NOT NULL REFERENCES outline (id) ON DELETE CASCADE,
  name       TEXT    NOT NULL,                          -- as between the brackets of FETCH; with <first.count>, a piece of it
  content_id INTEGER NOT NULL REFERENCES content (id),
  PRIMARY KEY (outline_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX section_content ON section (content_id);

ALTER TABLE message ADD COLUMN outline_id INTEGER REFERENCES outline (id);
-- RFC822.SIZE where clients were told another one than the bytes have: upstream's word, from before they were here.
ALTER TABLE message ADD COLUMN told_bytes INTEGER;
-- The user wants the bytes here, whatever the configuration says.
ALTER TABLE message ADD COLUMN pinned     INTEGER NOT NULL DEFAULT 0;
-- How often upstream was asked for the bytes and did not give them.
ALTER TABLE message ADD COLUMN withheld   INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_outline ON message (outline_id) WHERE outline_id IS NOT NULL;

CREATE TRIGGER outline_left_by_delete AFTER DELETE ON message WHEN old.outline_id IS NOT NULL BEGIN
  DELETE FROM outline WHERE id = old.outline_id AND NOT EXISTS (SELECT 1 FROM message WHERE outline_id = old.outline_id);
END;
CREATE TRIGGER outline_left_by_update AFTER UPDATE OF outline_id ON message WHEN old.outline_id IS NOT NULL BEGIN
  DELETE FROM outline WHERE id = old.outline_id AND NOT EXISTS (SELECT 1 FROM message WHERE outline_id = old.outline_id);
END;

-- Bytes of bodies fetched by day (days since 1970, UTC), and those of them for which a mail client or the user asked.
CREATE TABLE spent (
  account_id      INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  day             INTEGER NOT NULL,
  bytes           INTEGER NOT NULL,
  on_demand_bytes INTEGER NOT NULL,
  PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;
-- Whether the line is metered; NULL: as the configuration says.
ALTER TABLE account ADD COLUMN metered INTEGER;
