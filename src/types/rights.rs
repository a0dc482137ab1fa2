//! Access rights to a mailbox (RFC 4314 section 2.1), and who has them.

use std::fmt;

use Right as R;

use super::{Flag, Flags, SystemFlag, limits};

/// A right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Right {
    /// The mailbox is listed.
    Lookup,
    /// It can be selected, its STATUS asked for.
    Read,
    /// `\Seen` is kept.
    Seen,
    /// Flags other than `\Seen` and `\Deleted` are kept.
    Write,
    /// Messages can be put in.
    Insert,
    /// Mail may be sent to its address. Means nothing to IMAP.
    Post,
    /// Mailboxes can be made below.
    Create,
    /// The mailbox can be deleted, or get another name.
    DeleteMailbox,
    /// `\Deleted` is kept.
    DeleteMessages,
    Expunge,
    /// Rights can be given and taken.
    Administer,
}

impl Right {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 11] = [
        R::Lookup,
        R::Read,
        R::Seen,
        R::Write,
        R::Insert,
        R::Post,
        R::Create,
        R::DeleteMailbox,
        R::DeleteMessages,
        R::Expunge,
        R::Administer,
    ];

    /// Those to change flags.
    pub const OF_FLAGS: [Self; 3] = [R::Seen, R::Write, R::DeleteMessages];

    /// As on the wire.
    pub const fn letter(self) -> char {
        match self {
            R::Lookup => 'l',
            R::Read => 'r',
            R::Seen => 's',
            R::Write => 'w',
            R::Insert => 'i',
            R::Post => 'p',
            R::Create => 'k',
            R::DeleteMailbox => 'x',
            R::DeleteMessages => 't',
            R::Expunge => 'e',
            R::Administer => 'a',
        }
    }

    /// The right that it takes to change a flag.
    const fn to_change(flag: &Flag) -> Self {
        match flag {
            Flag::System(SystemFlag::Seen) => R::Seen,
            Flag::System(SystemFlag::Deleted) => R::DeleteMessages,
            Flag::System(_) | Flag::Keyword(_) => R::Write,
        }
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights(u16);

impl Rights {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self((1 << Right::ALL.len()) - 1);

    /// Reads letters. `c` and `d` are those of RFC 2086, which has fewer: what creates and deletes mailboxes, and what
    /// deletes messages (section 2.1.1). `None`: a letter is no right.
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::NONE, |rights, letter| {
            let more = match letter {
                'c' => Self::of(&CREATE),
                'd' => Self::of(&DELETE),
                letter => Self::of(&[Right::ALL.into_iter().find(|right| right.letter() == letter)?]),
            };
            Some(rights.union(more))
        })
    }

    /// Reads what a server tells of rights. `c` and `d` count alone: beside the rights they stand for they only say that there
    /// is one of these (section 2.1.1). Letters that are no right here are passed over (section 2.2).
    pub fn told(letters: &str) -> Self {
        let known = |letter: &char| Right::ALL.iter().any(|right| right.letter() == *letter);
        let parse = |letters: String| Self::parse(&letters).unwrap_or_default();
        let rights = parse(letters.chars().filter(known).collect());
        let is_old = !rights.has_any(&CREATE) && !rights.has_any(&DELETE);
        match is_old {
            true => rights.union(parse(letters.chars().filter(|letter| matches!(letter, 'c' | 'd')).collect())),
            false => rights,
        }
    }

    /// What [`Self::bits`] gave; unknown bits are dropped.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// As a number, to be kept.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// These rights.
    pub fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |bits, right| bits | 1 << *right as u16))
    }

    /// Is it among them?
    pub const fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u16) != 0
    }

    /// Is one of these among them?
    pub fn has_any(self, rights: &[Right]) -> bool {
        rights.iter().any(|right| self.has(*right))
    }

    /// The rights of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not among the others.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of the flags that who has these rights may change.
    #[must_use]
    pub fn allowed(self, flags: &Flags) -> Flags {
        if self == Self::ALL {
            return flags.clone();
        }
        flags.iter().filter(|flag| self.has(Right::to_change(flag))).collect()
    }
}

/// The rights that RFC 2086 had as one, `c`.
const CREATE: [Right; 2] = [R::Create, R::DeleteMailbox];

/// The rights that RFC 2086 had as one, `d`.
const DELETE: [Right; 2] = [R::DeleteMessages, R::Expunge];

impl fmt::Display for Rights {
    /// The letters. "When any of the "delete" member rights is set ..., the server MUST also include the "d" right" (section
    /// 2.1.1), and likewise `c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::letter);
        let create = self.has_any(&CREATE).then_some('c');
        let delete = self.has_any(&DELETE).then_some('d');
        write!(f, "{}", letters.chain(create).chain(delete).collect::<String>())
    }
}

/// What becomes of someone's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsChange {
    Add(Rights),
    Remove(Rights),
    Replace(Rights),
}

impl RightsChange {
    /// The rights after it.
    pub const fn applied_to(self, before: Rights) -> Rights {
        match self {
            Self::Add(rights) => before.union(rights),
            Self::Remove(rights) => before.difference(rights),
            Self::Replace(rights) => rights,
        }
    }
}

/// Whose rights they are: a user's name, `anyone`, or `authenticated`, which is anyone as well, since who is not logged in
/// sees nothing; behind a dash it is who has these rights taken away (section 2). In lower case, as users' names are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(String);

impl Identifier {
    /// Those that mean everyone.
    pub const EVERYONE: [&'static str; 2] = ["anyone", "authenticated"];

    /// Parses one. `None`: it can be nobody's.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix('-').unwrap_or(text);
        let fits =
            !name.is_empty() && text.len() <= limits::IDENTIFIER_MAX_BYTES && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_lowercase()))
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Are the rights of that user given by it? And if so, given or taken?
    pub fn concerns(&self, user: &str) -> Option<Given> {
        let (given, name) = match self.0.strip_prefix('-') {
            Some(name) => (Given::Taken, name),
            None => (Given::Granted, self.0.as_str()),
        };
        (name == user || Self::EVERYONE.contains(&name)).then_some(given)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which way an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Granted,
    Taken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_of_before_mean_several_and_are_told_beside_them() {
        for (said, told) in [
            ("lrswida", "lrswitead"),
            ("c", "kxc"),
            ("k", "kc"),
            ("e", "ed"),
            ("lrswipkxtea", "lrswipkxteacd"),
            ("", ""),
            ("aal", "la"),
        ] {
            assert_eq!(Rights::parse(said).map(|rights| rights.to_string()).as_deref(), Some(told), "{said}");
        }
        for said in ["lrQ", "q", "L", " ", "0"] {
            assert_eq!(Rights::parse(said), None, "{said}");
        }
        assert_eq!(Rights::from_bits(Rights::ALL.bits()), Rights::ALL);
    }

    #[test]
    fn what_a_server_tells_is_read_whatever_its_age() {
        for (said, means) in [
            ("lr", "lr"),
            // RFC 2086, and RFC 4314, which says both.
            ("lrswicda", "lrswikxtea"),
            ("lrswitd", "lrswit"),
            ("lrkc", "lrk"),
            ("lrswipkxtecdan0", "lrswipkxtea"),
            ("", ""),
        ] {
            assert_eq!(Some(Rights::told(said)), Rights::parse(means), "{said}");
        }
    }

    #[test]
    fn an_identifier_concerns_its_user_or_everyone() {
        for (text, user, concerns) in [
            ("Fred", "fred", Some(Given::Granted)),
            ("-fred", "fred", Some(Given::Taken)),
            ("fred", "ann", None),
            ("anyone", "ann", Some(Given::Granted)),
            ("-authenticated", "ann", Some(Given::Taken)),
        ] {
            let identifier = Identifier::parse(text).expect("an identifier");
            assert_eq!(identifier.concerns(user), concerns, "{text} {user}");
        }
        for text in ["", "-", "a\nb", &"x".repeat(300)] {
            assert_eq!(Identifier::parse(text), None, "{text:?}");
        }
    }
}
