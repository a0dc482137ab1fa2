-- What a content is found by when its Message-ID is asked for: the first eight bytes of the BLAKE3 of that, 0 without one.
-- NULL: from before this migration; reckoned at the next opening.
ALTER TABLE content ADD COLUMN message_id_hash INTEGER;
CREATE INDEX content_message_id ON content (message_id_hash);
CREATE INDEX submission_message_id ON submission (message_id);
