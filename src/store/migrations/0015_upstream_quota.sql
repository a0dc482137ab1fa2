-- How much may be kept on the server, and is, as it told last (RFC 9208).
CREATE TABLE upstream_quota (
  account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  root       TEXT    NOT NULL,
  resource   TEXT    NOT NULL,                       -- in upper case
  used       INTEGER NOT NULL,                       -- of STORAGE in bytes
  maximum    INTEGER NOT NULL,
  PRIMARY KEY (account_id, root, resource)
) STRICT, WITHOUT ROWID;
