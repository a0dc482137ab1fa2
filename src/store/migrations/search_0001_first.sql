-- The search index: what messages say, made from the content database and made anew when it is missing. Texts are folded:
-- without regard to case (message::Texts).

-- The contents that are in the index, under their ids.
CREATE TABLE entry (
  id         INTEGER PRIMARY KEY,
  hash       BLOB    NOT NULL,      -- the beginning of the content's hash: an id alone may come to name another one
  whole      INTEGER NOT NULL       -- 0: too large, it is read instead
) STRICT;

CREATE TABLE header_text (
  id         INTEGER PRIMARY KEY,
  text       BLOB    NOT NULL
) STRICT;

CREATE TABLE body_text (
  id         INTEGER PRIMARY KEY,
  text       BLOB    NOT NULL
) STRICT;

-- Which contents hold which three characters in a row.
CREATE VIRTUAL TABLE gram USING fts5 (
  headers, body, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);

-- Which contents hold which one or two characters of a script that writes words in so few (store::search::grams).
CREATE VIRTUAL TABLE pair USING fts5 (names, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
