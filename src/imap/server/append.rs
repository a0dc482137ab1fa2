//! APPEND and REPLACE (RFC 3501 section 6.3.11; RFC 8508; several messages: RFC 3502; parts: RFC 4469; APPENDUID:
//! RFC 4315 section 3).
//!
//! A message's bytes go from the framer straight into the backend's upload, never through memory as a whole. The
//! session calls in here as they come: [`begin`] where the first literal of message bytes is announced,
//! [`Appending::write`] for the bytes, [`Appending::next_piece`] where another is announced behind them,
//! [`Appending::finish`] at the end. A command without such a literal is a row of the table like every other.

use super::backend::{Account, Append, Appended, Backend, Upload};
use super::catenate::catenate;
use super::config::Capability;
use super::expunge::{mod_seq_after, refuse_read_only};
use super::framer::Announced;
use super::reply::{Context, Done, Refusal, Reply, User};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::append::{AppendPlace, AppendStep, LiteralForm};
use crate::imap::syntax::code::Code;
use crate::imap::syntax::sequence::SequenceSet;
use crate::imap::syntax::{NameForm, ParseError, Parser};
use crate::types::{Flags, InternalDate, LocalUid, MailboxId, MailboxName, limits};

/// The row's function: an APPEND that came to its end without announcing a message.
pub fn append<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    whole::<B>(context, &mut user.account, user.selected.as_mut(), None, args)
}

/// The row's function: a REPLACE that came to its end without announcing a message.
pub fn replace<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    whole::<B>(context, account, Some(view), Some(by), args)
}

fn whole<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    selected: Option<&mut View>,
    replaces: Option<By>,
    args: &mut Parser<'_>,
) -> Outcome<B> {
    let tag = context.tag.clone();
    let replaces = selected.as_deref().zip(replaces);
    match begin_with(context, account, (selected.as_deref().map(|view| view.mailbox), replaces), args, tag)? {
        Begun::Message(appending) if appending.place.is_none() => appending.commit::<B>(context, account, selected),
        Begun::Message(_) | Begun::Argument => Err(Refusal::bad("Expected a message")),
    }
}

/// A command that takes messages in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    Append,
    Replace(By),
}

/// Does `command` take messages in? Gives its tag and the cursor behind its name.
pub fn recognise(command: &[u8]) -> Option<(Parser<'_>, String, Taking)> {
    let mut parser = Parser::new(command);
    let tag = parser.tag().ok()?;
    parser.sp().ok()?;
    let taking = if parser.skip_word("APPEND") {
        Taking::Append
    } else if parser.skip_word("REPLACE") {
        Taking::Replace(By::Sequence)
    } else if parser.skip_text("UID REPLACE") {
        Taking::Replace(By::Uid)
    } else {
        return None;
    };
    Some((parser, tag, taking))
}

/// Messages on their way in.
pub struct Appending<A: Account> {
    pub tag: String,
    /// The message that goes once the new one is there.
    replaces: Option<(MailboxId, LocalUid)>,
    target: MailboxName,
    /// What URLs without a mailbox are of.
    selected: Option<MailboxId>,
    messages: Vec<Append<A::Upload>>,
    /// Bytes of the message that came last, its parts together.
    size_bytes: u64,
    /// Where the next piece of the command begins; `None` behind the last message.
    place: Option<AppendPlace>,
    /// How the bytes that come are announced.
    form: LiteralForm,
}

/// What the announcement of a literal means.
pub enum Begun<T> {
    /// The literal is an argument, as the mailbox's name: part of the command.
    Argument,
    Message(T),
}

/// Begins where the first message bytes are announced; `args` stands behind the command's name.
pub fn begin<A: Account>(
    context: &Context,
    user: Option<&mut User<A>>,
    args: &mut Parser<'_>,
    tag: String,
    taking: Taking,
) -> Result<Begun<Appending<A>>, Refusal> {
    let user = user.ok_or_else(|| Refusal::bad("Log in first"))?;
    match taking {
        Taking::Append => {
            let selected = user.selected.as_ref().map(|view| view.mailbox);
            begin_with(context, &mut user.account, (selected, None), args, tag)
        }
        Taking::Replace(_) if !context.has(Capability::Replace) => Err(Refusal::bad("Unknown command")),
        Taking::Replace(By::Sequence) if context.enabled.uid_only => Err(Refusal::uid_required()),
        Taking::Replace(by) => {
            let (account, view) = user.selected()?;
            begin_with(context, account, (Some(view.mailbox), Some((view, by))), args, tag)
        }
    }
}

fn begin_with<A: Account>(
    context: &Context,
    account: &mut A,
    (selected, replaces): (Option<MailboxId>, Option<(&View, By)>),
    args: &mut Parser<'_>,
    tag: String,
) -> Result<Begun<Appending<A>>, Refusal> {
    args.sp()?;
    let replaces = match replaces {
        None => None,
        Some((view, by)) => Some((view.mailbox, replaced(view, by, args)?)),
    };
    let Some(target) = unless_argument(args.mailbox(), args)? else { return Ok(Begun::Argument) };
    let Some((steps, place)) = unless_argument(args.append_piece(AppendPlace::First), args)? else {
        return Ok(Begun::Argument);
    };
    let target = context.mailbox_name(&target)?;
    let form = LiteralForm::Plain;
    let mut appending = Appending { tag, replaces, target, selected, messages: Vec::new(), size_bytes: 0, place, form };
    appending.take(context, account, steps)?;
    Ok(Begun::Message(appending))
}

/// What was parsed; `None` where that failed because the bytes of a literal are still to come.
fn unless_argument<T>(parsed: Result<T, ParseError>, args: &Parser<'_>) -> Result<Option<T>, Refusal> {
    match parsed {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) if args.is_behind_literal_head() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `seq-number SP` (RFC 8508 section 5): the message to be replaced.
fn replaced(view: &View, by: By, args: &mut Parser<'_>) -> Result<LocalUid, Refusal> {
    let number = args.seq_number()?;
    args.sp()?;
    refuse_read_only(view)?;
    let found = view.select(&SequenceSet::Ranges(vec![(number, number)]), by)?.all(view);
    let only = found.first().copied();
    only.ok_or_else(|| Refusal::no(Code::NonExistent, "There is no such message to be replaced"))
}

impl<A: Account> Appending<A> {
    /// Takes bytes of the message announced last. A NUL "MUST NOT be used anywhere, with the exception of the
    /// OCTET production" (RFC 9051 section 9), which is that of literal8: changed into something else, the message would be
    /// another one.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.form == LiteralForm::Plain && bytes.contains(&0) {
            return Err(Refusal::no(Code::Cannot, "A message with a NUL byte comes as a literal8: APPEND ... ~{...}"));
        }
        self.keep(bytes)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self.messages.last_mut() {
            Some(message) => Ok(message.upload.write(bytes)?),
            None => Err(Refusal::bad("Expected a message")),
        }
    }

    /// More bytes are announced behind the last.
    pub fn next_piece(&mut self, context: &Context, account: &mut A, line: &[u8]) -> Result<Begun<()>, Refusal> {
        let mut args = Parser::new(line);
        let place = self.place.unwrap_or(AppendPlace::Behind);
        let Some((steps, next)) = unless_argument(args.append_piece(place), &args)? else {
            return Ok(Begun::Argument);
        };
        self.take(context, account, steps)?;
        self.place = next;
        Ok(Begun::Message(()))
    }

    /// The command came to its end.
    pub fn finish<B: Backend<Account = A>>(
        mut self,
        context: &mut Context,
        user: &mut User<A>,
        rest: &[u8],
    ) -> Outcome<B> {
        let place = self.place.unwrap_or(AppendPlace::Behind);
        let (steps, next) = Parser::new(rest).append_piece(place)?;
        if next.is_some() {
            return Err(Refusal::bad("Expected a message"));
        }
        self.take(context, &mut user.account, steps)?;
        self.commit::<B>(context, &mut user.account, user.selected.as_mut())
    }

    fn commit<B: Backend<Account = A>>(
        self,
        context: &mut Context,
        account: &mut A,
        mut selected: Option<&mut View>,
    ) -> Outcome<B> {
        let Self { replaces, target, mut messages, .. } = self;
        let Some((mailbox, uid)) = replaces else {
            let appended = account.append(&target, messages).map_err(Refusal::target)?;
            note_own(selected, &appended);
            let code = Code::AppendUid(appended.uid_validity, appended.uids);
            let code = Some(code).filter(|_| context.has(Capability::UidPlus));
            return Ok(Done::Reply(Reply { code, text: "Appended".into() }));
        };
        let message = messages.pop().ok_or_else(|| Refusal::bad("Expected a message"))?;
        let appended = account.replace(mailbox, uid, &target, message).map_err(Refusal::target)?;
        note_own(selected.as_deref_mut(), &appended);
        // "in an untagged OK before sending the EXPUNGE" (RFC 8508 section 4.3), which the command's end tells.
        if context.has(Capability::UidPlus) {
            context.untagged_ok(&Code::AppendUid(appended.uid_validity, appended.uids), "The new message is there");
        }
        // The old one went "as if it were being removed with a UID EXPUNGE command" (section 4.5).
        let code = selected.and_then(|view| mod_seq_after(context, view));
        Ok(Done::Reply(Reply { code, text: "Replaced".into() }))
    }

    fn take(&mut self, context: &Context, account: &mut A, steps: Vec<AppendStep>) -> Result<(), Refusal> {
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                AppendStep::Message { flags, internal_date, catenated } => {
                    if catenated && !context.has(Capability::Catenate) {
                        return Err(Refusal::bad("Expected a literal"));
                    }
                    let size_bytes = match steps.peek() {
                        Some(AppendStep::Literal { size_bytes, .. }) if !catenated => *size_bytes,
                        _ => 0,
                    };
                    self.begin_message(context, account, flags, internal_date, size_bytes)?;
                    if !catenated && size_bytes == 0 {
                        return Err(empty());
                    }
                }
                AppendStep::Literal { size_bytes, form } => {
                    check_form(context, form)?;
                    self.form = form;
                    self.grow(size_bytes)?;
                }
                AppendStep::Url(url) => catenate(&url, account, self.selected, |bytes| {
                    self.grow(bytes.len() as u64)?;
                    self.keep(bytes)
                })?,
                AppendStep::Catenated if self.size_bytes == 0 => return Err(empty()),
                AppendStep::Catenated => {}
            }
        }
        Ok(())
    }

    fn begin_message(
        &mut self,
        context: &Context,
        account: &mut A,
        flags: Flags,
        internal_date: Option<InternalDate>,
        size_bytes: u64,
    ) -> Result<(), Refusal> {
        let several = context.has(Capability::MultiAppend) && self.replaces.is_none();
        if !self.messages.is_empty() && !several {
            return Err(Refusal::bad("One message at a time"));
        }
        if self.messages.len() == limits::IMAP_APPEND_MESSAGES_MAX {
            let text = format!("At most {} messages at a time", limits::IMAP_APPEND_MESSAGES_MAX);
            return Err(Refusal::no(Code::Limit, text));
        }
        if flags.keywords().count() > limits::KEYWORDS_MAX {
            return Err(Refusal::no(Code::Limit, format!("A message can have {} keywords", limits::KEYWORDS_MAX)));
        }
        if size_bytes > limits::MESSAGE_MAX_BYTES {
            return Err(too_big());
        }
        let upload = account.upload(&self.target, size_bytes).map_err(Refusal::target)?;
        self.messages.push(Append { upload, flags, internal_date });
        self.size_bytes = 0;
        Ok(())
    }

    fn grow(&mut self, size_bytes: u64) -> Result<(), Refusal> {
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        if self.size_bytes > limits::MESSAGE_MAX_BYTES { Err(too_big()) } else { Ok(()) }
    }
}

/// The client need not be told of what it appended itself.
fn note_own(selected: Option<&mut View>, appended: &Appended) {
    if let Some(view) = selected {
        view.note_own(appended.target, appended.uids.iter().copied());
    }
}

fn too_big() -> Refusal {
    Refusal::no(Code::TooBig, format!("A message can be {} bytes large", limits::MESSAGE_MAX_BYTES))
}

/// RFC 3502 section 6.3.11: an empty literal is the client's way to give the whole APPEND up.
fn empty() -> Refusal {
    Refusal::no(Code::Cannot, "An empty message is not kept")
}

/// A message with 8-bit header fields that comes without UTF8 is taken all the same, against RFC 6855 section 4: old mail
/// is full of such fields, and whoever moves it here must not lose it.
fn check_form(context: &Context, form: LiteralForm) -> Result<(), Refusal> {
    match form {
        LiteralForm::Binary if !context.has(Capability::Binary) => Err(Refusal::bad("Expected a literal")),
        LiteralForm::Utf8 if !context.has(Capability::Utf8Accept) => Err(Refusal::bad("Expected a literal")),
        LiteralForm::Utf8 if context.enabled.name_form() != NameForm::Utf8 => {
            Err(Refusal::bad("ENABLE UTF8=ACCEPT first"))
        }
        LiteralForm::Plain | LiteralForm::Binary | LiteralForm::Utf8 => Ok(()),
    }
}

/// Whether the bytes of a refused message that the client does not hold back are worth waiting for.
pub fn worth_discarding(announced: Announced) -> bool {
    announced.waits || announced.size_bytes <= limits::MESSAGE_MAX_BYTES
}
