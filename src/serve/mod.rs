//! Where protocols meet the store: the one IMAP `Backend`, POP3 maildrops, submission; change broadcast.
