//! A configuration file: what is wrong in it has a place in it.

use std::path::Path;

use mailtide::config::{Config, ConfigError, ServerConfig};

pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = Path::new("/etc/mailtide/config.toml");
    match Config::parse(text, file) {
        Ok(config) => {
            let mut names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
            assert!(names.iter().all(|name| !name.contains(char::is_control) && !name.is_empty()), "{names:?}");
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two accounts of one name: {names:?}");
        }
        Err(error) => check_error(&error, text),
    }
    if let Err(error) = ServerConfig::parse(text, file) {
        check_error(&error, text);
    }
}

fn check_error(error: &ConfigError, text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = error.line.checked_sub(1).and_then(|place| lines.get(place));
    let line = line.unwrap_or_else(|| panic!("line {} of {}: {error}", error.line, lines.len()));
    assert!((1..=line.chars().count() + 1).contains(&error.column), "column {} of {line:?}: {error}", error.column);
    let said = error.to_string();
    assert!(said.starts_with("/etc/mailtide/config.toml:"), "{said}");
}
