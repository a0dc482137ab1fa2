//! SEARCH arguments (RFC 3501 section 6.4.4; RFC 4731, 5032, 5182, 8474, 8514, 9394; RFC 7162 section 3.1.5). Every
//! extension is read; whether the session has it is the session's to check.

use chrono::NaiveDate;

use super::parser::{Parsed, Parser};
use super::sequence::{PartialRange, SequenceSet};
use crate::types::{Flag, ModSeq, SystemFlag, limits};

/// `search = "SEARCH" [search-return-opts] [SP "CHARSET" SP astring] 1*(SP search-key)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `None`: the old answer.
    pub returns: Option<SearchReturns>,
    /// Upper case.
    pub charset: Option<String>,
    pub key: SearchKey,
}

/// `search-return-opts` (RFC 4731 section 5, RFC 5182, RFC 9394)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchReturns {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
    pub partial: Option<PartialRange>,
}

impl SearchReturns {
    /// Only ALL: what no option at all asks for.
    pub const ALL: Self = Self { min: false, max: false, all: true, count: false, save: false, partial: None };
}

/// `search-key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    All,
    And(Vec<SearchKey>),
    Or(Box<SearchKey>, Box<SearchKey>),
    Not(Box<SearchKey>),
    Has(Flag),
    Recent,
    Sequence(SequenceSet),
    Uid(SequenceSet),
    Before(NaiveDate),
    On(NaiveDate),
    Since(NaiveDate),
    SentBefore(NaiveDate),
    SentOn(NaiveDate),
    SentSince(NaiveDate),
    SavedBefore(NaiveDate),
    SavedOn(NaiveDate),
    SavedSince(NaiveDate),
    SaveDateSupported,
    /// Received at least, at most that many seconds ago.
    Older(u32),
    Younger(u32),
    Larger(u64),
    Smaller(u64),
    Header {
        name: String,
        value: String,
    },
    Body(String),
    Text(String),
    ModSeq(ModSeq),
    EmailId(String),
    ThreadId(String),
}

impl Parser<'_> {
    /// The arguments of SEARCH after its name.
    pub fn search(&mut self) -> Parsed<Search> {
        self.sp()?;
        self.search_program()
    }

    /// `[search-return-opts SP] search-program`, to the end.
    pub(super) fn search_program(&mut self) -> Parsed<Search> {
        let returns = self.search_return()?;
        let mut charset = None;
        if self.skip_word("CHARSET") {
            self.sp()?;
            charset = Some(self.charset()?);
            self.sp()?;
        }
        Ok(Search { returns, charset, key: self.search_keys()? })
    }

    /// `["RETURN" SP search-return-opts SP]`
    pub(super) fn search_return(&mut self) -> Parsed<Option<SearchReturns>> {
        if !self.skip_word("RETURN") {
            return Ok(None);
        }
        self.sp()?;
        let returns = self.search_return_opts()?;
        self.sp()?;
        Ok(Some(returns))
    }

    /// `search-key *(SP search-key)`, to the end.
    pub(super) fn search_keys(&mut self) -> Parsed<SearchKey> {
        let mut keys = vec![self.search_key()?];
        while self.skip(b' ') {
            keys.push(self.search_key()?);
        }
        self.end()?;
        let key = all_of(keys);
        if key.count() > limits::IMAP_SEARCH_KEYS_MAX {
            return self.fail("fewer search keys");
        }
        Ok(key)
    }

    /// `"(" [search-return-opt *(SP search-return-opt)] ")"` (RFC 4466) where
    /// `search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range`
    fn search_return_opts(&mut self) -> Parsed<SearchReturns> {
        let mut returns = SearchReturns::default();
        let count = self.list_or_empty(|parser| {
            match parser.word()?.as_str() {
                "MIN" => returns.min = true,
                "MAX" => returns.max = true,
                "ALL" => returns.all = true,
                "COUNT" => returns.count = true,
                "SAVE" => returns.save = true,
                "PARTIAL" if returns.partial.is_none() => returns.partial = Some(parser.partial_range()?),
                _ => return parser.fail("a result option before this place"),
            }
            Ok(())
        })?;
        // "either one PARTIAL, one ALL, or neither PARTIAL nor ALL is allowed" (RFC 9394 section 3.1)
        if returns.all && returns.partial.is_some() {
            return self.fail("ALL or PARTIAL, not both, before this place");
        }
        // "If the list of result options is empty, that requests ... ALL" (RFC 4731 section 3.1).
        Ok(if count.is_empty() { SearchReturns::ALL } else { returns })
    }

    /// `search-key = "ALL" / "ANSWERED" / ... / sequence-set / "(" search-key *(SP search-key) ")"`
    fn search_key(&mut self) -> Parsed<SearchKey> {
        match self.peek() {
            Some(b'(') => {
                let keys = self.nested(|parser| parser.list(|parser| parser.search_key()))?;
                Ok(all_of(keys))
            }
            Some(b'0'..=b'9' | b'*' | b'$') => self.sequence_set().map(SearchKey::Sequence),
            _ => self.named_search_key(),
        }
    }

    fn named_search_key(&mut self) -> Parsed<SearchKey> {
        use SearchKey as Key;
        let has = |flag: SystemFlag| Key::Has(flag.into());
        let not = |key| Key::Not(Box::new(key));
        Ok(match self.word()?.as_str() {
            "ALL" => Key::All,
            "ANSWERED" => has(SystemFlag::Answered),
            "DELETED" => has(SystemFlag::Deleted),
            "DRAFT" => has(SystemFlag::Draft),
            "FLAGGED" => has(SystemFlag::Flagged),
            "SEEN" => has(SystemFlag::Seen),
            "UNANSWERED" => not(has(SystemFlag::Answered)),
            "UNDELETED" => not(has(SystemFlag::Deleted)),
            "UNDRAFT" => not(has(SystemFlag::Draft)),
            "UNFLAGGED" => not(has(SystemFlag::Flagged)),
            "UNSEEN" => not(has(SystemFlag::Seen)),
            "RECENT" => Key::Recent,
            "OLD" => not(Key::Recent),
            "NEW" => Key::And(vec![Key::Recent, not(has(SystemFlag::Seen))]),
            "KEYWORD" => Key::Has(self.search_keyword()?),
            "UNKEYWORD" => not(Key::Has(self.search_keyword()?)),
            "BEFORE" => Key::Before(self.search_date()?),
            "ON" => Key::On(self.search_date()?),
            "SINCE" => Key::Since(self.search_date()?),
            "SENTBEFORE" => Key::SentBefore(self.search_date()?),
            "SENTON" => Key::SentOn(self.search_date()?),
            "SENTSINCE" => Key::SentSince(self.search_date()?),
            "LARGER" => Key::Larger(self.search_number()?),
            "SMALLER" => Key::Smaller(self.search_number()?),
            field @ ("BCC" | "CC" | "FROM" | "SUBJECT" | "TO") => {
                Key::Header { name: field.to_owned(), value: self.search_text()? }
            }
            "HEADER" => Key::Header { name: self.search_text()?, value: self.search_text()? },
            "BODY" => Key::Body(self.search_text()?),
            "TEXT" => Key::Text(self.search_text()?),
            "UID" => {
                self.sp()?;
                Key::Uid(self.sequence_set()?)
            }
            "NOT" => {
                self.sp()?;
                not(self.nested(|parser| parser.search_key())?)
            }
            "OR" => {
                self.sp()?;
                let first = self.nested(|parser| parser.search_key())?;
                self.sp()?;
                let second = self.nested(|parser| parser.search_key())?;
                Key::Or(Box::new(first), Box::new(second))
            }
            "SAVEDBEFORE" => Key::SavedBefore(self.search_date()?),
            "SAVEDON" => Key::SavedOn(self.search_date()?),
            "SAVEDSINCE" => Key::SavedSince(self.search_date()?),
            "SAVEDATESUPPORTED" => Key::SaveDateSupported,
            "OLDER" => Key::Older(self.search_interval()?),
            "YOUNGER" => Key::Younger(self.search_interval()?),
            "EMAILID" => Key::EmailId(self.objectid()?),
            "THREADID" => Key::ThreadId(self.objectid()?),
            "MODSEQ" => Key::ModSeq(self.search_modsequence()?),
            _ => return self.fail("a search key before this place"),
        })
    }

    /// `SP flag-keyword`
    fn search_keyword(&mut self) -> Parsed<Flag> {
        self.sp()?;
        match self.flag()? {
            Some(flag @ Flag::Keyword(_)) => Ok(flag),
            _ => self.fail("a keyword before this place"),
        }
    }

    /// `SP date`
    fn search_date(&mut self) -> Parsed<NaiveDate> {
        self.sp()?;
        self.date()
    }

    /// `SP number`
    fn search_number(&mut self) -> Parsed<u64> {
        self.sp()?;
        self.number64()
    }

    /// `SP nz-number`
    fn search_interval(&mut self) -> Parsed<u32> {
        self.sp()?;
        self.nz_number()
    }

    /// `SP objectid` where `objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 section 7)
    fn objectid(&mut self) -> Parsed<String> {
        self.sp()?;
        let id = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        match id.len() {
            1..=255 => Ok(String::from_utf8_lossy(id).into_owned()),
            _ => self.fail("an object id before this place"),
        }
    }

    /// `charset`, in upper case, which is that of the texts behind it.
    pub(super) fn charset(&mut self) -> Parsed<String> {
        let charset = self.text()?.to_ascii_uppercase();
        self.is_in_unknown_charset = !is_known_charset(&charset);
        Ok(charset)
    }

    /// `SP astring`. In a charset that is not known here it may hold anything: "the server MUST return a tagged NO response (not
    /// a BAD)" (RFC 3501 section 6.4.4).
    fn search_text(&mut self) -> Parsed<String> {
        self.sp()?;
        match self.is_in_unknown_charset {
            true => Ok(String::from_utf8_lossy(&self.astring()?).into_owned()),
            false => self.text(),
        }
    }

    /// `search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer` (RFC 7162 section 7). The extension
    /// names one flag; this server keeps one mod-sequence a message, so it changes nothing (section 3.1.5).
    fn search_modsequence(&mut self) -> Parsed<ModSeq> {
        self.sp()?;
        if self.peek() == Some(b'"') {
            self.string()?;
            self.sp()?;
            match self.word()?.as_str() {
                "PRIV" | "SHARED" | "ALL" => self.sp()?,
                _ => return self.fail("priv, shared or all before this place"),
            }
        }
        self.mod_sequence_valzer()
    }
}

impl SearchKey {
    /// How many keys it is made of. Recursion is bounded by the parser.
    fn count(&self) -> usize {
        match self {
            Self::And(keys) => keys.iter().map(Self::count).sum(),
            Self::Or(one, other) => one.count() + other.count(),
            Self::Not(key) => key.count(),
            _ => 1,
        }
    }
}

/// The charsets that RFC 5256 section 3 asks for; others are not known.
pub fn is_known_charset(charset: &str) -> bool {
    matches!(charset, "UTF-8" | "US-ASCII")
}

/// One key for several that must all hold.
fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.len() {
        1 => keys.remove(0),
        _ => SearchKey::And(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<SearchKey> {
        Parser::new(format!(" {text}").as_bytes()).search().ok().map(|search| search.key)
    }

    #[test]
    fn every_key_is_read() {
        for text in [
            "ALL",
            "ANSWERED",
            "BCC x",
            "BEFORE 1-Feb-1994",
            "BODY x",
            "CC x",
            "DELETED",
            "DRAFT",
            "FLAGGED",
            "FROM x",
            "HEADER Subject \"\"",
            "KEYWORD work",
            "LARGER 10",
            "NEW",
            "NOT SEEN",
            "OLD",
            "ON 1-Feb-1994",
            "OR SEEN 1:3",
            "RECENT",
            "SEEN",
            "SENTBEFORE 1-Feb-1994",
            "SENTON 1-Feb-1994",
            "SENTSINCE \"1-Feb-1994\"",
            "SINCE 1-Feb-1994",
            "SMALLER 10",
            "SUBJECT {1}\r\nx",
            "TEXT x",
            "TO x",
            "UID 5:*",
            "UNANSWERED",
            "UNDELETED",
            "UNDRAFT",
            "UNFLAGGED",
            "UNKEYWORD work",
            "UNSEEN",
            "2,4:*",
            "(SEEN (DELETED 1))",
            "MODSEQ 5",
            "$",
            "UID $",
            "SAVEDBEFORE 1-Feb-1994",
            "SAVEDON 1-Feb-1994",
            "SAVEDSINCE 1-Feb-1994",
            "SAVEDATESUPPORTED",
            "OLDER 3600",
            "YOUNGER 3600",
            "EMAILID M6d99ac3275bb4e",
            "THREADID T_64-b",
            "MODSEQ \"/flags/\\\\draft\" all 620162338",
        ] {
            assert!(key(text).is_some(), "{text}");
        }
    }

    #[test]
    fn keys_side_by_side_must_all_hold() {
        let expected = SearchKey::And(vec![
            SearchKey::Has(SystemFlag::Flagged.into()),
            SearchKey::Not(Box::new(SearchKey::Header { name: "FROM".to_owned(), value: "Smith".to_owned() })),
        ]);
        assert_eq!(key("FLAGGED NOT FROM \"Smith\""), Some(expected));
    }

    #[test]
    fn what_is_no_search_is_refused() {
        for text in [
            "",
            "FROM",
            "NONSENSE",
            "OR SEEN",
            "NOT",
            "()",
            "(SEEN",
            "BEFORE x",
            "KEYWORD \\Seen",
            "1:",
            "SEEN ",
            "OLDER 0",
            "EMAILID (x)",
        ] {
            assert_eq!(key(text), None, "{text}");
        }
        assert_eq!(key(&"NOT ".repeat(100_000)), None);
        assert_eq!(key(&"(".repeat(100_000)), None);
        assert!(key(&format!("{}SEEN", "NOT ".repeat(60))).is_some());
    }

    #[test]
    fn options_and_charset_are_kept() {
        let search = Parser::new(b" RETURN (MIN COUNT) CHARSET utf-8 ALL").search().expect("a valid SEARCH");
        assert_eq!(search.returns, Some(SearchReturns { min: true, count: true, ..SearchReturns::default() }));
        assert_eq!(search.charset.as_deref(), Some("UTF-8"));
        let returns = |text: &str| {
            let search = Parser::new(format!(" RETURN ({text}) ALL").as_bytes()).search();
            search.ok().and_then(|search| search.returns)
        };
        assert_eq!(returns(""), Some(SearchReturns::ALL));
        assert_eq!(returns("SAVE"), Some(SearchReturns { save: true, ..SearchReturns::default() }));
        assert!(returns("PARTIAL -1:-100 MAX").is_some_and(|returns| returns.partial.is_some() && returns.max));
        for text in ["PARTIAL 1:5 ALL", "PARTIAL 1:5 PARTIAL 6:9", "PARTIAL", "NONSENSE", "SAVE MIN,MAX"] {
            assert_eq!(returns(text), None, "{text}");
        }
    }
}
