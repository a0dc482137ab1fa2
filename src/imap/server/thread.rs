//! THREAD (RFC 5256).

use super::backend::{Account, Backend};
use super::esearch::Answer;
use super::hunt::{Hunt, Keying, check_charset};
use super::query::names_numbers;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::sort::ThreadAlgorithm;
use crate::message::thread::{Written, ordered_subject, references};
use crate::message::{Keyed, KeysRead};
use crate::types::LocalUid;

pub fn thread<B: Backend>(
    context: &mut Context,
    _: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.thread()?;
    check_charset(&wanted.charset)?;
    let names_numbers = names_numbers(&wanted.key);
    let stage = Stage::Hunting(Hunt::for_keys(wanted.key, context, view)?);
    Ok(Done::Run(Box::new(Threading { by, algorithm: wanted.algorithm, names_numbers, stage })))
}

struct Threading {
    by: By,
    algorithm: ThreadAlgorithm,
    names_numbers: bool,
    stage: Stage,
}

enum Stage {
    Hunting(Hunt),
    Keying(Vec<LocalUid>, Keying<Keyed>),
    Answering(Answer),
}

impl<A: Account> Task<A> for Threading {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Hunting(hunt) => Some(hunt.progress()),
            Stage::Keying(..) | Stage::Answering(_) => None,
        }
    }

    fn uses_numbers(&self) -> bool {
        self.names_numbers
    }

    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        match &mut self.stage {
            Stage::Hunting(hunt) => {
                let Some(found) = hunt.step(account, view)? else { return Ok(hunt.pause()) };
                self.stage = Stage::Keying(found.uids, Keying::new(KeysRead::All));
            }
            Stage::Keying(found, keying) => {
                if let Some(messages) = keying.step(account, view, found, |keyed| keyed)? {
                    self.stage = Stage::Answering(answer(view, self.by, self.algorithm, &messages));
                }
            }
            Stage::Answering(answer) => {
                if !answer.step(context) {
                    return Ok(Progress::Done(Reply::new("Threaded")));
                }
            }
        }
        Ok(Progress::More)
    }
}

fn answer(view: &View, by: By, algorithm: ThreadAlgorithm, messages: &[Keyed]) -> Answer {
    let uids: Vec<LocalUid> = messages.iter().map(|message| message.uid).collect();
    let forest = match algorithm {
        ThreadAlgorithm::OrderedSubject => ordered_subject(messages),
        ThreadAlgorithm::References => references(messages),
    };
    Answer::threads(Written::new(forest, view.numbers_by(by, &uids)))
}
