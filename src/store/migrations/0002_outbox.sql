-- The outbox: sending later, delay warnings, reports of success, which message in Sent is whose copy.

ALTER TABLE submission ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;   -- the user's, however the world changes
ALTER TABLE submission ADD COLUMN delay_told    INTEGER NOT NULL DEFAULT 0;   -- that it takes its time was reported
ALTER TABLE submission ADD COLUMN copy_id       INTEGER;                      -- the message in Sent, once filed

-- Accepted by a server that reports no success (RFC 3461 section 5.2.3): that it was handed on is ours to report.
ALTER TABLE submission_recipient ADD COLUMN unreported INTEGER NOT NULL DEFAULT 0;

-- Copies that others (the provider, a mail program) make in Sent were seen to come late: ours waits for them.
ALTER TABLE account ADD COLUMN late_copies INTEGER NOT NULL DEFAULT 0;
