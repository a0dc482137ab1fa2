//! APPEND (RFC 3501 section 6.3.11; several messages: RFC 3502; APPENDUID: RFC 4315 section 3).
//!
//! A message's bytes go from the framer straight into the backend's upload, never through memory as a whole. The
//! session calls in here as they come: [`begin`] where a literal is announced that is a message, [`Appending::write`]
//! for its bytes, [`Appending::next_message`] where another is announced behind it, [`Appending::finish`] at the end.

use super::backend::{Account, Append, Backend, Upload};
use super::config::Capability;
use super::framer::Announced;
use super::reply::{Context, Done, Refusal, Reply, User, mailbox_name};
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::mailbox::AppendHead;
use crate::types::{MailboxName, limits};

/// The row's function: an APPEND that came to its end without announcing a message.
pub fn without_message<B: Backend>(_: &mut Context, _: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.sp()?;
    args.mailbox()?;
    args.append_head()?;
    Err(Refusal::bad("Expected a message"))
}

/// Is `command` an APPEND? Gives its tag and the cursor behind its name.
pub fn recognise(command: &[u8]) -> Option<(Parser<'_>, String)> {
    let mut parser = Parser::new(command);
    let tag = parser.tag().ok()?;
    parser.sp().ok()?;
    parser.skip_word("APPEND").then_some((parser, tag))
}

/// Messages on their way in.
pub struct Appending<A: Account> {
    pub tag: String,
    target: MailboxName,
    messages: Vec<Append<A::Upload>>,
}

/// What the announcement of a literal within APPEND means.
pub enum Begun<T> {
    /// The literal is the mailbox's name: part of the command.
    Argument,
    Message(T),
}

/// Begins an APPEND where its message is announced; `args` stands behind the command's name.
pub fn begin<A: Account>(
    user: Option<&mut User<A>>,
    mut args: Parser<'_>,
    tag: String,
) -> Result<Begun<Appending<A>>, Refusal> {
    args.sp()?;
    let Ok(target) = args.mailbox() else { return Ok(Begun::Argument) };
    let head = args.append_head()?;
    let user = user.ok_or_else(|| Refusal::bad("Log in first"))?;
    let target = mailbox_name(&target)?;
    let first = upload(&mut user.account, &target, head)?;
    Ok(Begun::Message(Appending { tag, target, messages: vec![first] }))
}

fn upload<A: Account>(account: &mut A, target: &MailboxName, head: AppendHead) -> Result<Append<A::Upload>, Refusal> {
    // RFC 3502 section 6.3.11: an empty literal is the client's way to give the whole APPEND up.
    if head.size_bytes == 0 {
        return Err(Refusal::no(Code::Cannot, "An empty message is not kept"));
    }
    if head.size_bytes > limits::MESSAGE_MAX_BYTES {
        let text = format!("A message can be {} bytes large", limits::MESSAGE_MAX_BYTES);
        return Err(Refusal::no(Code::TooBig, text));
    }
    if head.flags.keywords().count() > limits::KEYWORDS_MAX {
        return Err(Refusal::no(Code::Limit, format!("A message can have {} keywords", limits::KEYWORDS_MAX)));
    }
    let upload = account.upload(target, head.size_bytes).map_err(Refusal::target)?;
    Ok(Append { upload, flags: head.flags, internal_date: head.internal_date })
}

impl<A: Account> Appending<A> {
    /// Takes bytes of the message announced last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self.messages.last_mut() {
            Some(message) => Ok(message.upload.write(bytes)?),
            None => Err(Refusal::bad("Expected a message")),
        }
    }

    /// Another message is announced behind the last (RFC 3502).
    pub fn next_message(&mut self, context: &Context, account: &mut A, line: &[u8]) -> Result<(), Refusal> {
        if !context.has(Capability::MultiAppend) {
            return Err(Refusal::bad("One message at a time"));
        }
        let head = Parser::new(line).append_head()?;
        if self.messages.len() == limits::IMAP_APPEND_MESSAGES_MAX {
            let text = format!("At most {} messages at a time", limits::IMAP_APPEND_MESSAGES_MAX);
            return Err(Refusal::no(Code::Limit, text));
        }
        self.messages.push(upload(account, &self.target, head)?);
        Ok(())
    }

    /// The command came to its end.
    pub fn finish<B: Backend<Account = A>>(self, context: &Context, account: &mut A, rest: &[u8]) -> Outcome<B> {
        Parser::new(rest).end()?;
        let appended = account.append(&self.target, self.messages).map_err(Refusal::target)?;
        let code = Code::AppendUid(appended.uid_validity, appended.uids);
        let code = Some(code).filter(|_| context.has(Capability::UidPlus));
        Ok(Done::Reply(Reply { code, text: "Appended".into() }))
    }
}

/// Whether the bytes of a refused message that the client does not hold back are worth waiting for.
pub fn worth_discarding(announced: Announced) -> bool {
    announced.waits || announced.size_bytes <= limits::MESSAGE_MAX_BYTES
}
