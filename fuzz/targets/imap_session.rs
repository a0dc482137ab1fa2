#![no_main]

mailtide_fuzz::target!(imap_session);
