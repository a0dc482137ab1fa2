//! SEARCH arguments (RFC 3501 section 6.4.4; RFC 4731; RFC 7162 section 3.1.5).

use chrono::NaiveDate;

use super::parser::{Parsed, Parser};
use super::sequence::SequenceSet;
use crate::types::{Flag, ModSeq, SystemFlag};

/// `search = "SEARCH" [search-return-opts] [SP "CHARSET" SP astring] 1*(SP search-key)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `None`: the old answer. Empty asks for ALL (RFC 4731 section 3.1).
    pub returns: Option<Vec<SearchReturn>>,
    /// Upper case.
    pub charset: Option<String>,
    pub key: SearchKey,
}

/// `search-return-opt` (RFC 4731 section 5)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchReturn {
    Min,
    Max,
    All,
    Count,
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
    Larger(u64),
    Smaller(u64),
    Header { name: String, value: String },
    Body(String),
    Text(String),
    ModSeq(ModSeq),
}

impl Parser<'_> {
    /// The arguments of SEARCH after its name.
    pub fn search(&mut self, esearch: bool, condstore: bool) -> Parsed<Search> {
        self.sp()?;
        let mut returns = None;
        if esearch && self.skip_word("RETURN") {
            // search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" (RFC 4466)
            self.sp()?;
            returns = Some(self.list_or_empty(Self::search_return_opt)?);
            self.sp()?;
        }
        let mut charset = None;
        if self.skip_word("CHARSET") {
            self.sp()?;
            charset = Some(self.text()?.to_ascii_uppercase());
            self.sp()?;
        }
        let mut keys = vec![self.search_key(condstore)?];
        while self.skip(b' ') {
            keys.push(self.search_key(condstore)?);
        }
        self.end()?;
        Ok(Search { returns, charset, key: all_of(keys) })
    }

    /// `search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT"`
    fn search_return_opt(&mut self) -> Parsed<SearchReturn> {
        match self.word()?.as_str() {
            "MIN" => Ok(SearchReturn::Min),
            "MAX" => Ok(SearchReturn::Max),
            "ALL" => Ok(SearchReturn::All),
            "COUNT" => Ok(SearchReturn::Count),
            _ => self.fail("MIN, MAX, ALL or COUNT before this place"),
        }
    }

    /// `search-key = "ALL" / "ANSWERED" / ... / sequence-set / "(" search-key *(SP search-key) ")"`
    fn search_key(&mut self, condstore: bool) -> Parsed<SearchKey> {
        match self.peek() {
            Some(b'(') => {
                let keys = self.nested(|parser| parser.list(|parser| parser.search_key(condstore)))?;
                Ok(all_of(keys))
            }
            Some(b'0'..=b'9' | b'*') => self.sequence_set().map(SearchKey::Sequence),
            _ => self.named_search_key(condstore),
        }
    }

    fn named_search_key(&mut self, condstore: bool) -> Parsed<SearchKey> {
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
                not(self.nested(|parser| parser.search_key(condstore))?)
            }
            "OR" => {
                self.sp()?;
                let first = self.nested(|parser| parser.search_key(condstore))?;
                self.sp()?;
                let second = self.nested(|parser| parser.search_key(condstore))?;
                Key::Or(Box::new(first), Box::new(second))
            }
            "MODSEQ" if condstore => Key::ModSeq(self.search_modsequence()?),
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

    /// `SP astring`
    fn search_text(&mut self) -> Parsed<String> {
        self.sp()?;
        self.text()
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
        Parser::new(format!(" {text}").as_bytes()).search(true, true).ok().map(|search| search.key)
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
        for text in
            ["", "FROM", "NONSENSE", "OR SEEN", "NOT", "()", "(SEEN", "BEFORE x", "KEYWORD \\Seen", "1:", "SEEN "]
        {
            assert_eq!(key(text), None, "{text}");
        }
        assert_eq!(key(&"NOT ".repeat(100_000)), None);
        assert_eq!(key(&"(".repeat(100_000)), None);
        assert!(key(&format!("{}SEEN", "NOT ".repeat(60))).is_some());
    }

    #[test]
    fn options_and_charset_are_kept() {
        let search = Parser::new(b" RETURN (MIN COUNT) CHARSET utf-8 ALL").search(true, false).expect("a valid SEARCH");
        assert_eq!(search.returns, Some(vec![SearchReturn::Min, SearchReturn::Count]));
        assert_eq!(search.charset.as_deref(), Some("UTF-8"));
        assert!(Parser::new(b" RETURN (MIN) ALL").search(false, false).is_err());
        assert!(Parser::new(b" MODSEQ 4").search(true, false).is_err());
    }
}
