-- How many octets contents have more on a line that ends its lines with CRLF, as they stand and with a header in ASCII
-- (message::octets). A content without a row has none, unless it is from before and still to be measured.
CREATE TABLE content_growth (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE,
  utf8       INTEGER NOT NULL,
  ascii      INTEGER NOT NULL
) STRICT;

CREATE TABLE content_unmeasured (
  content_id INTEGER PRIMARY KEY REFERENCES content (id) ON DELETE CASCADE
) STRICT;
INSERT INTO content_unmeasured (content_id) SELECT id FROM content;
