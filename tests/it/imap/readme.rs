//! The table of capabilities in README is complete and true.

use std::collections::BTreeSet;

use mailtide::imap::server::Capability;
use mailtide::sasl::server::Mechanism;

use super::engine::transcripts;

/// The rows, of three cells each.
fn rows() -> Vec<Vec<&'static str>> {
    let text = include_str!("../../../README.md").split("## What its IMAP can do").nth(1).expect("the chapter");
    let table = text.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| "));
    table.skip(2).map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What is between commas, without what is said about it in parentheses or quotes.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split(", ").map(|name| name.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_capability_is_in_the_readme_with_its_rfc() {
    let rows = rows();
    assert!(rows.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())), "{rows:?}");
    let told: BTreeSet<String> = rows.iter().flat_map(|row| names(row[0])).collect();
    let mut known: BTreeSet<String> = Capability::all().map(|capability| capability.name().to_owned()).collect();
    known.extend(Mechanism::ALL.iter().map(|mechanism| format!("AUTH={}", mechanism.name())));
    known.extend(["IMAP4rev1", "STARTTLS", "LOGINDISABLED", "CAPABILITY"].map(str::to_owned));
    assert_eq!(told, known);
}

#[test]
fn every_transcript_is_in_the_readme_and_there_are_no_others() {
    let files: BTreeSet<String> = transcripts()
        .iter()
        .map(|(path, _)| path.rsplit('/').next().unwrap_or_default().trim_end_matches(".txt").to_owned())
        .collect();
    let told: BTreeSet<String> = rows().iter().flat_map(|row| names(row[2])).collect();
    let told: BTreeSet<String> =
        told.into_iter().filter(|name| !name.starts_with('`') && name != "the" && name != "and").collect();
    assert_eq!(told, files);
}
