//! What is asked on a terminal: one made by script(1).

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::agent::Agent;
use crate::support::peers;
use crate::support::process::read_lossy;
use crate::support::wait::{SOON, wait_for, wait_until};

#[test]
fn a_terminal_shows_what_is_typed_again_however_the_question_for_a_password_ends() {
    for end in ["SIGTERM", "Ctrl-C"] {
        let agent = Agent::new("");
        let before = read_lossy(&agent.config());
        let (out, id) = (agent.folder().join("terminal"), agent.folder().join("id"));
        let file = std::fs::File::create(&out).expect("a writable folder");
        let asking = format!(
            "sh -c 'echo $$ > {}; exec {} --config {} account add --name a --address a@b.example --imap h --smtp h --user u'; \
             echo ended with $?; stty -a",
            id.display(),
            env!("CARGO_BIN_EXE_syncctl"),
            agent.config().display()
        );
        let mut script = Command::new("script");
        script.args(["-qec", &asking, "/dev/null"]).stdin(Stdio::piped()).stdout(file);
        let Ok(mut script) = script.spawn() else { return peers::skip("script(1) is not installed") };
        wait_until("the question", SOON, || read_lossy(&out).contains("Password: "));
        match end {
            "SIGTERM" => {
                let kill = Command::new("kill").arg(read_lossy(&id).trim()).status();
                assert!(kill.expect("kill(1) is there").success(), "it still asks");
            }
            _ => script.stdin.as_mut().expect("a pipe").write_all(b"half\x03").expect("it still reads"),
        }
        wait_for("the terminal to be closed", SOON, || script.try_wait().expect("a child"));
        let said = read_lossy(&out);
        assert!(said.contains("nothing was written") && said.contains("ended with 1"), "{end}: {said}");
        let settings: Vec<&str> = said.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
        for setting in ["echo", "icanon", "isig"] {
            assert!(settings.contains(&setting), "{end}: {setting} is not on: {said}");
        }
        assert!(!said.contains("half"), "{said}");
        assert_eq!(read_lossy(&agent.config()), before);
    }
}
