//! Arguments of the commands on mailboxes: SELECT, LIST, STATUS, CREATE and their kin (RFC 3501 section 6.3; RFC 5258,
//! 5819, 6154, 7162).

use super::metadata::EntryName;
use super::parser::{MailboxArgument, Parsed, Parser};
use super::quote::is_astring_char;
use super::sequence::SequenceSet;
use crate::types::{ModSeq, SpecialUse, UidValidity, limits};

/// `select = "SELECT" SP mailbox [select-params]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    pub mailbox: MailboxArgument,
    /// CONDSTORE (RFC 7162 section 3.1.8)
    pub condstore: bool,
    pub qresync: Option<Qresync>,
}

/// `"QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`
/// (RFC 7162 section 7). The match data helps a server that forgets expunges; this one does not, so it is only read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    pub uid_validity: UidValidity,
    pub mod_seq: ModSeq,
    pub known_uids: Option<SequenceSet>,
}

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]` (RFC 5258 section 6)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    pub select: ListSelect,
    pub reference: Vec<u8>,
    pub patterns: Vec<Vec<u8>>,
    pub returns: ListReturn,
    /// Any of the extended forms was used.
    pub extended: bool,
}

/// `list-select-opts`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSelect {
    pub subscribed: bool,
    pub recursive_match: bool,
    pub special_use: bool,
}

/// `list-return-opts`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListReturn {
    pub subscribed: bool,
    pub children: bool,
    pub special_use: bool,
    /// RFC 5819
    pub status: Vec<StatusItem>,
    /// RFC 9590
    pub metadata: Vec<EntryName>,
    /// RFC 8440
    pub my_rights: bool,
}

/// Which forms of LIST the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListForms {
    pub extended: bool,
    pub status: bool,
    pub special_use: bool,
    pub metadata: bool,
    pub my_rights: bool,
}

/// `status-att` (RFC 3501 section 9; RFC 7162; RFC 8438)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    HighestModSeq,
    Size,
    /// Messages with `\Deleted` (RFC 9051 section 6.3.11).
    Deleted,
    /// RFC 8474 section 4.3
    MailboxId,
    /// RFC 7889 section 3.1
    AppendLimit,
    /// RFC 9208 section 4.1.4
    DeletedStorage,
}

impl StatusItem {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::Size => "SIZE",
            Self::Deleted => "DELETED",
            Self::MailboxId => "MAILBOXID",
            Self::AppendLimit => "APPENDLIMIT",
            Self::DeletedStorage => "DELETED-STORAGE",
        }
    }
}

impl Parser<'_> {
    /// The arguments of SELECT and EXAMINE. Parameters only where the server has CONDSTORE, QRESYNC.
    pub fn select(&mut self, condstore: bool, qresync: bool) -> Parsed<Select> {
        self.sp()?;
        let mut select = Select { mailbox: self.mailbox()?, condstore: false, qresync: None };
        if condstore && self.skip(b' ') {
            self.list(|parser| {
                if parser.skip_word("CONDSTORE") {
                    select.condstore = true;
                    return Ok(());
                }
                if qresync && parser.skip_word("QRESYNC") {
                    select.qresync = Some(parser.qresync()?);
                    return Ok(());
                }
                parser.fail("a parameter of SELECT")
            })?;
        }
        self.end()?;
        Ok(select)
    }

    fn qresync(&mut self) -> Parsed<Qresync> {
        self.sp()?;
        self.byte(b'(', "\"(\"")?;
        let uid_validity = UidValidity::new(self.nz_number()?);
        self.sp()?;
        let mut qresync = Qresync { uid_validity, mod_seq: self.mod_sequence_valzer()?, known_uids: None };
        if self.skip(b' ') {
            if self.peek() != Some(b'(') {
                qresync.known_uids = Some(self.known_set()?);
            }
            if self.peek() == Some(b'(') || self.skip(b' ') {
                // seq-match-data = "(" known-sequence-set SP known-uid-set ")"
                self.byte(b'(', "\"(\"")?;
                self.known_set()?;
                self.sp()?;
                self.known_set()?;
                self.byte(b')', "\")\"")?;
            }
        }
        self.byte(b')', "\")\"")?;
        Ok(qresync)
    }

    /// `known-uids = sequence-set`, in which "*" is not allowed (RFC 7162 section 7): what it stands for has changed.
    fn known_set(&mut self) -> Parsed<SequenceSet> {
        match self.sequence_set()? {
            set if set.is_numbers_alone() => Ok(set),
            _ => self.fail("numbers alone before this place"),
        }
    }

    /// `SP mailbox`, and nothing more.
    pub fn only_mailbox(&mut self) -> Parsed<MailboxArgument> {
        self.sp()?;
        let mailbox = self.mailbox()?;
        self.end()?;
        Ok(mailbox)
    }

    /// `create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]` (RFC 6154 section 5)
    pub fn create(&mut self, special_use: bool) -> Parsed<(MailboxArgument, Vec<Option<SpecialUse>>)> {
        self.sp()?;
        let mailbox = self.mailbox()?;
        let mut uses = Vec::new();
        if special_use && self.skip(b' ') {
            self.byte(b'(', "\"(\"")?;
            if !self.skip_word("USE") {
                return self.fail("USE");
            }
            self.sp()?;
            uses = self.list_or_empty(Self::use_attr)?;
            self.byte(b')', "\")\"")?;
        }
        self.end()?;
        Ok((mailbox, uses))
    }

    /// `use-attr = "\All" / "\Archive" / ... / use-attr-ext`; `None` for one that nobody here knows.
    fn use_attr(&mut self) -> Parsed<Option<SpecialUse>> {
        self.byte(b'\\', "\"\\\"")?;
        let name = self.atom()?;
        Ok(SpecialUse::parse(&format!("\\{name}")))
    }

    /// `rename = "RENAME" SP mailbox SP mailbox`
    pub fn rename(&mut self) -> Parsed<(MailboxArgument, MailboxArgument)> {
        self.sp()?;
        let from = self.mailbox()?;
        let to = self.only_mailbox()?;
        Ok((from, to))
    }

    /// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
    pub fn status(&mut self) -> Parsed<(MailboxArgument, Vec<StatusItem>)> {
        self.sp()?;
        let mailbox = self.mailbox()?;
        self.sp()?;
        let items = self.list(Self::status_att)?;
        self.end()?;
        Ok((mailbox, items))
    }

    fn status_att(&mut self) -> Parsed<StatusItem> {
        match self.word()?.as_str() {
            "MESSAGES" => Ok(StatusItem::Messages),
            "RECENT" => Ok(StatusItem::Recent),
            "UIDNEXT" => Ok(StatusItem::UidNext),
            "UIDVALIDITY" => Ok(StatusItem::UidValidity),
            "UNSEEN" => Ok(StatusItem::Unseen),
            "HIGHESTMODSEQ" => Ok(StatusItem::HighestModSeq),
            "SIZE" => Ok(StatusItem::Size),
            "DELETED" => Ok(StatusItem::Deleted),
            "MAILBOXID" => Ok(StatusItem::MailboxId),
            "DELETED-STORAGE" => Ok(StatusItem::DeletedStorage),
            "APPENDLIMIT" => Ok(StatusItem::AppendLimit),
            _ => self.fail("a status item before this place"),
        }
    }

    /// `lsub = "LSUB" SP mailbox SP list-mailbox`
    pub fn lsub(&mut self) -> Parsed<List> {
        self.sp()?;
        let reference = self.mailbox()?.0;
        self.sp()?;
        let patterns = vec![self.list_mailbox()?];
        self.end()?;
        Ok(List { reference, patterns, ..List::default() })
    }

    /// The arguments of LIST in the forms the server offers.
    pub fn list_command(&mut self, forms: ListForms) -> Parsed<List> {
        self.sp()?;
        let mut list = List::default();
        if forms.extended && self.peek() == Some(b'(') {
            list.extended = true;
            list.select = self.list_select_opts(forms)?;
            self.sp()?;
        }
        list.reference = self.mailbox()?.0;
        self.sp()?;
        if forms.extended && self.peek() == Some(b'(') {
            list.extended = true;
            list.patterns = self.list(Self::list_mailbox)?;
        } else {
            list.patterns.push(self.list_mailbox()?);
        }
        let bytes: usize = list.patterns.iter().map(|pattern| list.reference.len() + pattern.len()).sum();
        if bytes > limits::IMAP_LIST_PATTERNS_MAX_BYTES {
            return self.fail("fewer patterns");
        }
        if forms.extended && self.skip(b' ') {
            list.extended = true;
            list.returns = self.list_return_opts(forms)?;
        }
        self.end()?;
        Ok(list)
    }

    /// `list-mailbox = 1*list-char / string` where `list-char = ATOM-CHAR / list-wildcards / resp-specials`
    fn list_mailbox(&mut self) -> Parsed<Vec<u8>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let pattern = self.take_while(|byte| is_astring_char(byte) || matches!(byte, b'%' | b'*'));
        if pattern.is_empty() { self.fail("a mailbox pattern") } else { Ok(pattern.to_vec()) }
    }

    /// `list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"`
    fn list_select_opts(&mut self, forms: ListForms) -> Parsed<ListSelect> {
        let mut select = ListSelect::default();
        self.list_or_empty(|parser| {
            match parser.word()?.as_str() {
                "SUBSCRIBED" => select.subscribed = true,
                "RECURSIVEMATCH" => select.recursive_match = true,
                // Mailboxes of other servers: there are none (RFC 5258 section 3).
                "REMOTE" => {}
                "SPECIAL-USE" if forms.special_use => select.special_use = true,
                _ => return parser.fail("a selection option before this place"),
            }
            Ok(())
        })?;
        // "The RECURSIVEMATCH option MUST NOT occur as the only selection option" (RFC 5258 section 3.1).
        if select.recursive_match && !select.subscribed && !select.special_use {
            return self.fail("another selection option beside RECURSIVEMATCH before this place");
        }
        Ok(select)
    }

    /// `list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"`
    fn list_return_opts(&mut self, forms: ListForms) -> Parsed<ListReturn> {
        if !self.skip_word("RETURN") {
            return self.fail("RETURN");
        }
        self.sp()?;
        let mut returns = ListReturn::default();
        self.list_or_empty(|parser| {
            match parser.word()?.as_str() {
                "SUBSCRIBED" => returns.subscribed = true,
                "CHILDREN" => returns.children = true,
                "SPECIAL-USE" if forms.special_use => returns.special_use = true,
                "STATUS" if forms.status => {
                    parser.sp()?;
                    returns.status = parser.list(Self::status_att)?;
                }
                "METADATA" if forms.metadata => {
                    parser.sp()?;
                    returns.metadata = parser.list(Self::entry)?;
                }
                "MYRIGHTS" if forms.my_rights => returns.my_rights = true,
                _ => return parser.fail("a return option before this place"),
            }
            Ok(())
        })?;
        Ok(returns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_FORMS: ListForms =
        ListForms { extended: true, status: true, special_use: true, metadata: true, my_rights: true };

    #[test]
    fn list_is_read_in_its_extended_forms() {
        let list = |text: &str, forms| Parser::new(text.as_bytes()).list_command(forms).ok();
        let plain = list(" \"\" %", ALL_FORMS).expect("a valid LIST");
        assert_eq!((plain.extended, plain.patterns), (false, vec![b"%".to_vec()]));
        let extended = list(
            " (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"a b/*\") RETURN (CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN))",
            ALL_FORMS,
        )
        .expect("a valid LIST");
        assert!(extended.extended && extended.select.subscribed && extended.select.recursive_match);
        assert_eq!(extended.patterns, vec![b"INBOX".to_vec(), b"a b/*".to_vec()]);
        assert_eq!(extended.returns.status, vec![StatusItem::Messages, StatusItem::Unseen]);
        let basic = ListForms { extended: false, status: false, special_use: false, metadata: false, my_rights: false };
        assert_eq!(list(" () \"\" %", basic), None);
        assert_eq!(list(" \"\" % RETURN ()", basic), None);
        assert_eq!(list(" (RECURSIVEMATCH) \"\" %", ALL_FORMS), None);
        assert_eq!(list(" (NONSENSE) \"\" %", ALL_FORMS), None);
        assert_eq!(list(" \"\" ()", ALL_FORMS), None);
    }

    #[test]
    fn select_reads_qresync_in_every_length() {
        let select = |text: &str| Parser::new(text.as_bytes()).select(true, true).ok();
        assert!(select(" INBOX").is_some_and(|select| !select.condstore && select.qresync.is_none()));
        assert!(select(" INBOX (CONDSTORE)").is_some_and(|select| select.condstore));
        for known in ["", " 1:7", " (1,5 3,9)", " 1:300 (1,5 3,9)"] {
            let read = select(&format!(" INBOX (QRESYNC (67890007 90060115194045000{known}))"));
            let qresync = read.and_then(|select| select.qresync).unwrap_or_else(|| panic!("valid: {known:?}"));
            assert_eq!(qresync.mod_seq, ModSeq::new(90_060_115_194_045_000));
            assert_eq!(qresync.known_uids.is_some(), known.starts_with(" 1:"));
        }
        for known in ["*", "1:*", "$", "1:300 (1,* 3,9)", "(1 *)"] {
            assert!(select(&format!(" INBOX (QRESYNC (7 1 {known}))")).is_none(), "{known}");
        }
        assert!(select(" INBOX (QRESYNC (0 1))").is_none());
        assert!(select(" INBOX (QRESYNC (1))").is_none());
        assert!(select(" INBOX ()").is_none());
    }

    #[test]
    fn create_reads_special_uses() {
        let create = |text: &str| Parser::new(text.as_bytes()).create(true).ok().map(|(_, uses)| uses);
        assert_eq!(create(" x"), Some(vec![]));
        assert_eq!(create(" x (USE (\\sent \\Drafts))"), Some(vec![Some(SpecialUse::Sent), Some(SpecialUse::Drafts)]));
        assert_eq!(create(" x (USE (\\Strange))"), Some(vec![None]));
        assert_eq!(create(" x (USE (Strange))"), None);
        assert!(Parser::new(b" x (USE (\\Sent))").create(false).is_err());
    }
}
