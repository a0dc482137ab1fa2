-- What is known of a mailbox upstream came behind its cursor: from the answers to what was sent, or by a look that was cut
-- short.
ALTER TABLE remote_mailbox ADD COLUMN is_ahead INTEGER NOT NULL DEFAULT 0;

-- When a message that the server named and did not give is asked for again.
ALTER TABLE remote_skipped ADD COLUMN again_ms INTEGER NOT NULL DEFAULT 0;
