//! SMTP: the grammar and the server session (RFC 5321, 6409).
