-- When a parked entry is tried again by itself; NULL: only the user has it tried again.
ALTER TABLE journal ADD COLUMN retry_ms INTEGER;
