//! SORT and THREAD arguments (RFC 5256 section 5, RFC 5267 section 3, RFC 5957).

use super::parser::{Parsed, Parser};
use super::search::{SearchKey, SearchReturns};
use crate::message::sort::{Criterion, SortKey};

/// `sort = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// `None`: the old answer.
    pub returns: Option<SearchReturns>,
    pub criteria: Vec<Criterion>,
    /// Upper case.
    pub charset: String,
    pub key: SearchKey,
}

/// `thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub algorithm: ThreadAlgorithm,
    /// Upper case.
    pub charset: String,
    pub key: SearchKey,
}

/// `thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / thread-alg-ext`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
}

impl Parser<'_> {
    /// The arguments of SORT after its name.
    pub fn sort(&mut self) -> Parsed<Sort> {
        self.sp()?;
        let returns = self.search_return()?;
        let mut criteria: Vec<Criterion> = Vec::new();
        self.list(|parser| {
            let criterion = parser.sort_criterion()?;
            // Messages that a key did not tell apart are not told apart by it later.
            if criteria.iter().all(|before| before.key != criterion.key) {
                criteria.push(criterion);
            }
            Ok(())
        })?;
        self.sp()?;
        let (charset, key) = self.search_criteria()?;
        Ok(Sort { returns, criteria, charset, key })
    }

    /// The arguments of THREAD after its name.
    pub fn thread(&mut self) -> Parsed<Thread> {
        self.sp()?;
        let algorithm = match self.word()?.as_str() {
            "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
            "REFERENCES" => ThreadAlgorithm::References,
            _ => return self.fail("a threading algorithm before this place"),
        };
        self.sp()?;
        let (charset, key) = self.search_criteria()?;
        Ok(Thread { algorithm, charset, key })
    }

    /// `sort-criterion = ["REVERSE" SP] sort-key`
    fn sort_criterion(&mut self) -> Parsed<Criterion> {
        let is_reverse = self.skip_word("REVERSE");
        if is_reverse {
            self.sp()?;
        }
        let key = match self.word()?.as_str() {
            "ARRIVAL" => SortKey::Arrival,
            "CC" => SortKey::Cc,
            "DATE" => SortKey::Date,
            "FROM" => SortKey::From,
            "SIZE" => SortKey::Size,
            "SUBJECT" => SortKey::Subject,
            "TO" => SortKey::To,
            "DISPLAYFROM" => SortKey::DisplayFrom,
            "DISPLAYTO" => SortKey::DisplayTo,
            _ => return self.fail("a sort key before this place"),
        };
        Ok(Criterion { key, is_reverse })
    }

    /// `search-criteria = charset 1*(SP search-key)`
    fn search_criteria(&mut self) -> Parsed<(String, SearchKey)> {
        let charset = self.charset()?;
        self.sp()?;
        Ok((charset, self.search_keys()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_read_in_order() {
        let sort = Parser::new(b" (SUBJECT REVERSE DATE) utf-8 SINCE 1-Feb-1994 SEEN").sort().expect("a valid SORT");
        let expected = [(SortKey::Subject, false), (SortKey::Date, true)];
        assert_eq!(sort.criteria, expected.map(|(key, is_reverse)| Criterion { key, is_reverse }));
        assert_eq!((sort.charset.as_str(), sort.returns), ("UTF-8", None));
        assert!(Parser::new(b" RETURN (MIN) (reverse size) \"US-ASCII\" ALL").sort().is_ok());
        for text in
            ["", " ()", " () UTF-8 ALL", " (REVERSE) UTF-8 ALL", " (DATE) UTF-8", " (DATE) ALL", " (BCC) UTF-8 ALL"]
        {
            assert!(Parser::new(text.as_bytes()).sort().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_threading_algorithm_is_refused() {
        let thread = Parser::new(b" references US-ASCII TEXT \"gewp\"").thread().expect("a valid THREAD");
        assert_eq!(thread.algorithm, ThreadAlgorithm::References);
        for text in ["", " REFS UTF-8 ALL", " REFERENCES ALL", " ORDEREDSUBJECT UTF-8"] {
            assert!(Parser::new(text.as_bytes()).thread().is_err(), "{text}");
        }
    }
}
