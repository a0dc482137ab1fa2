-- Arrivals with the bytes of a message that upstream had before: they may be that one, moved. Until the round is closed
-- they are in no mailbox here, and nobody sees them.
ALTER TABLE remote_arrival ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
