-- The same message in another mailbox upstream is looked for by what upstream calls it, for each that vanishes.
CREATE INDEX message_email_id ON message (email_id) WHERE email_id IS NOT NULL;
