-- Mailboxes that are left out of the mirror since the configuration says so: upstream has them, and what is here of them
-- is kept for a while, but nobody sees it. Their `name` is NULL; this is the one they had.
ALTER TABLE mailbox ADD COLUMN hidden_name TEXT;
ALTER TABLE mailbox ADD COLUMN hidden_ms INTEGER;

-- The choice of mailboxes that was carried out last; '' before the first time.
ALTER TABLE account ADD COLUMN mirror TEXT NOT NULL DEFAULT '';
