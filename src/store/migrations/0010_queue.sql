-- A long queue: what a look at it asks for is found without reading all of it.
CREATE INDEX submission_delayed ON submission (account_id, first_deferred_ms) WHERE state = 'queued' AND delay_told = 0;
CREATE INDEX submission_settled ON submission (account_id, created_ms) WHERE state = 'settled';
CREATE INDEX submission_unfiled ON submission (account_id, handed_over_ms) WHERE filed = 0;
CREATE INDEX submission_copied ON submission (account_id, handed_over_ms) WHERE copy_id IS NOT NULL;
CREATE INDEX submission_recipient_untold ON submission_recipient (submission_id)
  WHERE told = 0 AND (state = 'failed' OR state = 'accepted' AND unreported = 1);
