//! POP3: the grammar and the server session (RFC 1939, 2449).
