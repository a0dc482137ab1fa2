//! The root of syncd.
