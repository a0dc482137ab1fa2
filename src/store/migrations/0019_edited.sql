-- The outbox: a message that lies in an editor, one in whose place another goes, and recipients whom it is not sent to any more.

ALTER TABLE submission ADD COLUMN edited_until_ms INTEGER NOT NULL DEFAULT 0;  -- it does not go out before
ALTER TABLE submission ADD COLUMN replaced_by INTEGER REFERENCES submission (id) ON DELETE SET NULL;
CREATE INDEX submission_edited ON submission (account_id) WHERE edited_until_ms > 0;
CREATE INDEX submission_replaced ON submission (replaced_by) WHERE replaced_by IS NOT NULL;

-- As before, and with a state more.
CREATE TABLE submission_recipient_anew (
  submission_id INTEGER NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  place         INTEGER NOT NULL,
  state         TEXT    NOT NULL CHECK (state IN ('waiting', 'accepted', 'failed', 'cancelled')),
  reply         TEXT,                                -- outbox::sender::Reply in JSON
  told          INTEGER NOT NULL DEFAULT 0,          -- its failure was reported by a DSN
  unreported    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (submission_id, place)
) STRICT, WITHOUT ROWID;
INSERT INTO submission_recipient_anew (submission_id, place, state, reply, told, unreported)
  SELECT submission_id, place, state, reply, told, unreported FROM submission_recipient;
DROP TABLE submission_recipient;
ALTER TABLE submission_recipient_anew RENAME TO submission_recipient;
CREATE INDEX submission_recipient_untold ON submission_recipient (submission_id)
  WHERE told = 0 AND (state = 'failed' OR state = 'accepted' AND unreported = 1);
