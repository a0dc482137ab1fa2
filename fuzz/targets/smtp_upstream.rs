#![no_main]

mailtide_fuzz::target!(smtp_upstream);
