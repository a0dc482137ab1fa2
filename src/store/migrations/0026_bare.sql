-- Messages of which a maildrop gave the header alone: nobody told what parts they have, so no client is told either before the
-- bytes are here. In `popped`, `whole` is empty for as long.
ALTER TABLE outline ADD COLUMN bare INTEGER NOT NULL DEFAULT 0;
