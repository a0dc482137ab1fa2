-- The outbox: an attempt ended before its answer to the message came. Those who wait for it may have it.
ALTER TABLE submission ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;
