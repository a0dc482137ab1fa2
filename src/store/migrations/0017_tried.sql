-- The flags that an entry sets were sent upstream: if they appear there, they may be its own.
ALTER TABLE journal ADD COLUMN tried INTEGER NOT NULL DEFAULT 0;
