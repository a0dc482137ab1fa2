//! Response codes (RFC 3501 section 7.1; RFC 3516, 4315, 4469, 5530, 7162, 8474, 9585, 9586).

use std::fmt;

use super::sequence::runs;
use crate::types::{LocalUid, MailboxId, ModSeq, UidSet, UidValidity};

/// `resp-text-code`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    AlreadyExists,
    AppendUid(UidValidity, Vec<LocalUid>),
    AuthenticationFailed,
    AuthorizationFailed,
    BadCharset,
    /// Events that are not told (RFC 5465 section 8); those of annotations may be.
    BadEvent {
        metadata: bool,
    },
    /// The URL as the client gave it.
    BadUrl(String),
    Cannot,
    /// The capability list, separated by spaces.
    Capability(String),
    Closed,
    CompressionActive,
    /// (source, target) in the order of the sources.
    CopyUid(UidValidity, Vec<(LocalUid, LocalUid)>),
    ExpungeIssued,
    HasChildren,
    HighestModSeq(ModSeq),
    /// The command with that tag goes on; and how much is done, of how much, where that is known (RFC 9585).
    InProgress {
        tag: String,
        done_of: Option<(usize, usize)>,
    },
    Limit,
    MailboxId(MailboxId),
    /// Octets of the longest annotation that was left out (RFC 5464 section 4.2.1).
    MetadataLongEntries(usize),
    /// Octets that an annotation can have (RFC 5464 section 4.3).
    MetadataMaxSize(usize),
    MetadataTooMany,
    /// Sequence numbers or UIDs, as the command used them.
    Modified(UidSet<LocalUid>),
    NonExistent,
    NoPerm,
    /// RFC 5465 section 5.8
    NotificationOverflow,
    OverQuota,
    /// Flags, separated by spaces.
    PermanentFlags(String),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    UidNext(LocalUid),
    /// RFC 9586
    UidRequired,
    UidValidity(UidValidity),
    Unavailable,
    UnknownCte,
    /// A sequence number.
    Unseen(u32),
    UseAttr,
}

impl fmt::Display for Code {
    /// Without the brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists => f.write_str("ALREADYEXISTS"),
            Self::AppendUid(validity, uids) => write!(f, "APPENDUID {validity} {}", Ordered(uids.iter())),
            Self::AuthenticationFailed => f.write_str("AUTHENTICATIONFAILED"),
            Self::AuthorizationFailed => f.write_str("AUTHORIZATIONFAILED"),
            Self::BadCharset => f.write_str("BADCHARSET (US-ASCII UTF-8)"),
            Self::BadEvent { metadata } => {
                let more = if *metadata { " MailboxMetadataChange ServerMetadataChange" } else { "" };
                write!(f, "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange{more})")
            }
            Self::BadUrl(url) => {
                let fits = |character: &char| !character.is_control() && *character != ']';
                write!(f, "BADURL {}", url.chars().filter(fits).collect::<String>())
            }
            Self::Cannot => f.write_str("CANNOT"),
            Self::Capability(list) => write!(f, "CAPABILITY {list}"),
            Self::CompressionActive => f.write_str("COMPRESSIONACTIVE"),
            Self::Closed => f.write_str("CLOSED"),
            Self::CopyUid(validity, uids) => {
                let (sources, targets) = (uids.iter().map(|(source, _)| source), uids.iter().map(|(_, target)| target));
                write!(f, "COPYUID {validity} {} {}", Ordered(sources), Ordered(targets))
            }
            Self::ExpungeIssued => f.write_str("EXPUNGEISSUED"),
            Self::HasChildren => f.write_str("HASCHILDREN"),
            Self::HighestModSeq(mod_seq) => write!(f, "HIGHESTMODSEQ {mod_seq}"),
            Self::InProgress { tag, done_of } => {
                // A tag with the character that ends a response code is not told (RFC 9585 section 4).
                match tag.contains(']') {
                    true => f.write_str("INPROGRESS (NIL ")?,
                    false => write!(f, "INPROGRESS (\"{tag}\" ")?,
                }
                match done_of {
                    Some((done, goal)) => write!(f, "{done} {goal})"),
                    None => f.write_str("NIL NIL)"),
                }
            }
            Self::Limit => f.write_str("LIMIT"),
            Self::MailboxId(id) => write!(f, "MAILBOXID ({})", ObjectId(*id)),
            Self::MetadataLongEntries(octets) => write!(f, "METADATA LONGENTRIES {octets}"),
            Self::MetadataMaxSize(octets) => write!(f, "METADATA MAXSIZE {octets}"),
            Self::MetadataTooMany => f.write_str("METADATA TOOMANY"),
            Self::Modified(set) => write!(f, "MODIFIED {set}"),
            Self::NonExistent => f.write_str("NONEXISTENT"),
            Self::NoPerm => f.write_str("NOPERM"),
            Self::NotificationOverflow => f.write_str("NOTIFICATIONOVERFLOW"),
            Self::OverQuota => f.write_str("OVERQUOTA"),
            Self::PermanentFlags(flags) => write!(f, "PERMANENTFLAGS ({flags})"),
            Self::PrivacyRequired => f.write_str("PRIVACYREQUIRED"),
            Self::ReadOnly => f.write_str("READ-ONLY"),
            Self::ReadWrite => f.write_str("READ-WRITE"),
            Self::ServerBug => f.write_str("SERVERBUG"),
            Self::TooBig => f.write_str("TOOBIG"),
            Self::TryCreate => f.write_str("TRYCREATE"),
            Self::UidNext(uid) => write!(f, "UIDNEXT {uid}"),
            Self::UidRequired => f.write_str("UIDREQUIRED"),
            Self::UidValidity(validity) => write!(f, "UIDVALIDITY {validity}"),
            Self::Unavailable => f.write_str("UNAVAILABLE"),
            Self::UnknownCte => f.write_str("UNKNOWN-CTE"),
            Self::Unseen(number) => write!(f, "UNSEEN {number}"),
            Self::UseAttr => f.write_str("USEATTR"),
        }
    }
}

/// The object id of a mailbox (RFC 8474 section 4): its number in the store, which is never given to another.
pub struct ObjectId(pub MailboxId);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{}", self.0)
    }
}

/// UIDs in their given order as a uid-set, ascending runs as ranges: the two sets of COPYUID match place by place
/// (RFC 4315 section 3), so they must not be sorted.
struct Ordered<I>(I);

impl<'a, I: Iterator<Item = &'a LocalUid> + Clone> fmt::Display for Ordered<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for run in runs(self.0.clone().map(|uid| uid.get())) {
            write!(f, "{comma}{run}")?;
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copyuid_keeps_the_order_of_the_targets() {
        let pair = |source, target| (LocalUid::new(source), LocalUid::new(target));
        let pairs = vec![pair(304, 3956), pair(319, 3957), pair(320, 3958), pair(325, 12)];
        let code = Code::CopyUid(UidValidity::new(38505), pairs);
        assert_eq!(code.to_string(), "COPYUID 38505 304,319:320,325 3956:3958,12");
    }
}
