-- Of a parked entry of which nobody could see whether it was done: journal::Evidence in JSON, to look again by.
CREATE TABLE journal_doubt (
  entry_id INTEGER PRIMARY KEY REFERENCES journal (id) ON DELETE CASCADE,
  evidence TEXT    NOT NULL
) STRICT;
