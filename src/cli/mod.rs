//! syncctl: one file per command.
