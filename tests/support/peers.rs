//! Programs of others that a test needs and a machine may lack.

use std::path::PathBuf;

/// Where a program is. When it is missing: `None` after a printed SKIP, or, with MAILTIDE_REQUIRE_INTEROP=1, a failure.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where a person's PATH does not look.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Tells that a test is not run, or fails it where it must run.
pub fn skip(why: &str) {
    assert!(std::env::var_os("MAILTIDE_REQUIRE_INTEROP").is_none_or(|value| value != "1"), "required, but {why}");
    println!("SKIP: {why}");
}
