-- In how many syncs in a row the mailbox opened and could not be looked into.
ALTER TABLE remote_mailbox ADD COLUMN half_seen INTEGER NOT NULL DEFAULT 0;
