//! The table of commands (RFC 3501 section 6): which states know a command, by which capability, how it names
//! messages, what may be told at its end, and the function that does it.

use super::backend::Backend;
use super::config::Capability;
use super::reply::{Context, Done, Refusal, User};
use super::telling::Tells;
use super::view::{By, View};
use super::{
    acl, append, auth, copy, expunge, fetch, list, mailbox, metadata, multisearch, notify, quota, search, select, sort,
    status, store, thread,
};
use crate::imap::syntax::Parser;

/// One command.
pub struct Row<B: Backend> {
    pub name: &'static str,
    /// Without it the command is unknown.
    pub needs: Option<Capability>,
    pub tells: Tells,
    pub run: Run<B>,
}

/// A command's function. The variant says in which states the command is legal; the function gets what these have.
pub enum Run<B: Backend> {
    Always(fn(&mut Context, bool, &mut Parser<'_>) -> Outcome<B>),
    BeforeLogin(fn(&mut Context, &mut B, &mut Parser<'_>) -> Outcome<B>),
    LoggedIn(fn(&mut Context, &mut User<B::Account>, &mut Parser<'_>) -> Outcome<B>),
    /// With [`By::Sequence`] it names messages by their numbers; a command that names none has [`By::Uid`].
    Selected(fn(&mut Context, &mut B::Account, &mut View, &mut Parser<'_>, By) -> Outcome<B>, By),
}

/// What a command's function gives.
pub type Outcome<B> = Result<Done<<B as Backend>::Account>, Refusal>;

const fn row<B: Backend>(name: &'static str, needs: Option<Capability>, tells: Tells, run: Run<B>) -> Row<B> {
    Row { name, needs, tells, run }
}

impl<B: Backend> Row<B> {
    /// Every command.
    pub const ALL: &'static [Self] = {
        use Capability::{
            Acl, CompressDeflate, Enable, Id, Idle, Metadata, Move, MultiSearch, Namespace, Notify, Quota, Replace,
            Sort, ThreadReferences, UidPlus, Unauthenticate, Unselect,
        };
        use Run::{Always, BeforeLogin, LoggedIn, Selected};
        use Tells::{All, AllButExpunge, Nothing, Own};
        const SEQ: By = By::Sequence;
        &[
            row("CAPABILITY", None, All, Always(auth::capability::<B>)),
            row("NOOP", None, All, Always(auth::noop::<B>)),
            row("LOGOUT", None, Nothing, Always(auth::logout::<B>)),
            row("ID", Some(Id), All, Always(auth::id::<B>)),
            row("STARTTLS", None, Nothing, BeforeLogin(auth::starttls::<B>)),
            row("LOGIN", None, Nothing, BeforeLogin(auth::login::<B>)),
            row("AUTHENTICATE", None, Nothing, BeforeLogin(auth::authenticate::<B>)),
            row("ENABLE", Some(Enable), All, LoggedIn(select::enable::<B>)),
            row("COMPRESS", Some(CompressDeflate), All, LoggedIn(auth::compress::<B>)),
            row("UNAUTHENTICATE", Some(Unauthenticate), Nothing, LoggedIn(auth::unauthenticate::<B>)),
            row("SELECT", None, Nothing, LoggedIn(select::select::<B>)),
            row("EXAMINE", None, Nothing, LoggedIn(select::examine::<B>)),
            row("CREATE", None, All, LoggedIn(mailbox::create::<B>)),
            row("DELETE", None, All, LoggedIn(mailbox::delete::<B>)),
            row("RENAME", None, All, LoggedIn(mailbox::rename::<B>)),
            row("SUBSCRIBE", None, All, LoggedIn(mailbox::subscribe::<B>)),
            row("UNSUBSCRIBE", None, All, LoggedIn(mailbox::unsubscribe::<B>)),
            row("LIST", None, All, LoggedIn(list::list::<B>)),
            row("LSUB", None, All, LoggedIn(list::lsub::<B>)),
            row("NAMESPACE", Some(Namespace), All, LoggedIn(list::namespace::<B>)),
            row("STATUS", None, All, LoggedIn(status::status::<B>)),
            row("GETMETADATA", Some(Metadata), All, LoggedIn(metadata::get::<B>)),
            row("SETMETADATA", Some(Metadata), All, LoggedIn(metadata::set::<B>)),
            row("SETACL", Some(Acl), All, LoggedIn(acl::set::<B>)),
            row("DELETEACL", Some(Acl), All, LoggedIn(acl::delete::<B>)),
            row("GETACL", Some(Acl), All, LoggedIn(acl::get::<B>)),
            row("LISTRIGHTS", Some(Acl), All, LoggedIn(acl::list_rights::<B>)),
            row("MYRIGHTS", Some(Acl), All, LoggedIn(acl::my_rights::<B>)),
            row("GETQUOTA", Some(Quota), All, LoggedIn(quota::get::<B>)),
            row("GETQUOTAROOT", Some(Quota), All, LoggedIn(quota::get_root::<B>)),
            row("APPEND", None, All, LoggedIn(append::append::<B>)),
            row("REPLACE", Some(Replace), Own, Selected(append::replace::<B>, SEQ)),
            row("UID REPLACE", Some(Replace), Own, Selected(append::replace::<B>, By::Uid)),
            row("IDLE", Some(Idle), All, LoggedIn(select::idle::<B>)),
            row("NOTIFY", Some(Notify), Own, LoggedIn(notify::notify::<B>)),
            row("CHECK", None, All, Selected(expunge::check::<B>, By::Uid)),
            row("CLOSE", None, Nothing, LoggedIn(expunge::close::<B>)),
            row("UNSELECT", Some(Unselect), Nothing, LoggedIn(expunge::unselect::<B>)),
            row("EXPUNGE", None, Own, Selected(expunge::expunge::<B>, By::Uid)),
            row("UID EXPUNGE", Some(UidPlus), Own, Selected(expunge::uid_expunge::<B>, By::Uid)),
            row("SEARCH", None, AllButExpunge, Selected(search::search::<B>, SEQ)),
            row("UID SEARCH", None, All, Selected(search::search::<B>, By::Uid)),
            row("ESEARCH", Some(MultiSearch), All, LoggedIn(multisearch::esearch::<B>)),
            row("SORT", Some(Sort), AllButExpunge, Selected(sort::sort::<B>, SEQ)),
            row("UID SORT", Some(Sort), All, Selected(sort::sort::<B>, By::Uid)),
            row("THREAD", Some(ThreadReferences), AllButExpunge, Selected(thread::thread::<B>, SEQ)),
            row("UID THREAD", Some(ThreadReferences), All, Selected(thread::thread::<B>, By::Uid)),
            row("FETCH", None, AllButExpunge, Selected(fetch::fetch::<B>, SEQ)),
            row("UID FETCH", None, All, Selected(fetch::fetch::<B>, By::Uid)),
            row("STORE", None, AllButExpunge, Selected(store::store::<B>, SEQ)),
            row("UID STORE", None, All, Selected(store::store::<B>, By::Uid)),
            row("COPY", None, All, Selected(copy::copy::<B>, SEQ)),
            row("UID COPY", None, All, Selected(copy::copy::<B>, By::Uid)),
            row("MOVE", Some(Move), Own, Selected(copy::move_messages::<B>, SEQ)),
            row("UID MOVE", Some(Move), Own, Selected(copy::move_messages::<B>, By::Uid)),
        ]
    };

    /// The command of that name, where the session knows it.
    pub fn find(name: &str, context: &Context) -> Option<&'static Self> {
        let known = |row: &&Self| row.name == name && row.needs.is_none_or(|needs| context.has(needs));
        Self::ALL.iter().find(known)
    }
}
