-- By what contents are sorted and threaded (RFC 5256): message::Keys in postcard. A table of its own: a SORT reads the keys
-- of a whole mailbox, and nothing else of its contents. A content without a row has none.
CREATE TABLE content_keys (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE,
  keys       BLOB    NOT NULL
) STRICT;

-- Contents from before, whose keys are made at the next opening.
CREATE TABLE content_unkeyed (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE
) STRICT;
INSERT INTO content_unkeyed (content_id) SELECT id FROM content;
