#![no_main]

mailtide_fuzz::target!(scram);
