-- Where the bytes of contents are: in which pack (content-N.pack), from where on, and how many. Apart from the contents
-- themselves: whoever looks for bytes reads rows of a few bytes. A content without a row is known without its bytes.
-- The numbers of contents are given here, and never twice.
CREATE TABLE content_place (
  content_id INTEGER PRIMARY KEY AUTOINCREMENT REFERENCES content (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  pack       INTEGER NOT NULL,
  start      INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO sqlite_sequence (name, seq) SELECT 'content_place', coalesce(max(id), 0) FROM content;

-- The bytes of that content and of every older one are known to be on disk.
ALTER TABLE store_info ADD COLUMN synced_content INTEGER NOT NULL DEFAULT 0;
