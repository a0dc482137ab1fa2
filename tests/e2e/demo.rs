//! The demonstration, as a visitor runs it.

use std::process::Command;

#[test]
fn the_demonstration_ends_with_success_and_says_what_was_compared() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncctl"));
        command.arg("demo").args(arguments).env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path());
        command.output().expect("the demonstration starts")
    };
    let plain = run(&[]);
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(plain.status.success(), "{text}\n{}", String::from_utf8_lossy(&plain.stderr));
    assert!(text.contains("equal"), "{text}");
    let json = run(&["--json"]);
    assert!(json.status.success());
    serde_json::from_slice::<serde_json::Value>(&json.stdout).expect("JSON for scripts");
    assert_eq!(std::fs::read_dir(home.path()).expect("a folder").count(), 0, "nothing is left behind");
}
