#![no_main]

mailtide_fuzz::target!(pop3_session);
