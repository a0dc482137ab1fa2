-- EMAILID (RFC 8474): names a message's content for as long as the message is in its mailbox, whether its bytes are here
-- or not. A copy has its source's; messages with equal bytes have the same.
ALTER TABLE message ADD COLUMN object_id TEXT NOT NULL DEFAULT '';

UPDATE message SET object_id = coalesce(
  (SELECT 'M' || lower(substr(hex(c.hash), 1, 40)) FROM content AS c WHERE c.id = message.content_id),
  'L' || id);
