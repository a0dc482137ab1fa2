//! The extensions this engine has, as a table, and sets of them.
//!
//! A capability that is off is neither listed nor understood. What a session offers is what the root wants, cut down to
//! what its backend can do.

use Capability as C;

/// An extension that can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    Imap4Rev2,
    LiteralPlus,
    SaslIr,
    Id,
    Enable,
    Idle,
    Namespace,
    Children,
    SpecialUse,
    CreateSpecialUse,
    UidPlus,
    Move,
    Unselect,
    ListExtended,
    ListStatus,
    StatusSize,
    MultiAppend,
    ESearch,
    CondStore,
    QResync,
    Utf8Accept,
    Binary,
    SearchRes,
    Within,
    SaveDate,
    ObjectId,
    Preview,
    Partial,
    Replace,
    Catenate,
    AppendLimit,
    CompressDeflate,
    Unauthenticate,
    UidOnly,
    InProgress,
    LiteralMinus,
    Metadata,
    ListMetadata,
    Quota,
    QuotaStorage,
    QuotaMessage,
    Sort,
    SortDisplay,
    ESort,
    ThreadOrderedSubject,
    ThreadReferences,
    MultiSearch,
    Notify,
    Acl,
    Rights,
    ListMyRights,
    GmailLabels,
}

/// A row of the table.
struct Row {
    capability: Capability,
    /// As registered.
    name: &'static str,
    /// The capabilities without which this one makes no sense.
    rests_on: &'static [Capability],
}

const fn row(capability: Capability, name: &'static str, rests_on: &'static [Capability]) -> Row {
    Row { capability, name, rests_on }
}

/// Every capability, in the order in which they are listed.
const TABLE: [Row; 52] = [
    row(C::Imap4Rev2, "IMAP4rev2", FOLDED_IN),                        // RFC 9051
    row(C::LiteralPlus, "LITERAL+", &[]),                             // RFC 7888
    row(C::SaslIr, "SASL-IR", &[]),                                   // RFC 4959
    row(C::Id, "ID", &[]),                                            // RFC 2971
    row(C::Enable, "ENABLE", &[]),                                    // RFC 5161
    row(C::Idle, "IDLE", &[]),                                        // RFC 2177
    row(C::Namespace, "NAMESPACE", &[]),                              // RFC 2342
    row(C::Children, "CHILDREN", &[]),                                // RFC 3348
    row(C::SpecialUse, "SPECIAL-USE", &[]),                           // RFC 6154
    row(C::CreateSpecialUse, "CREATE-SPECIAL-USE", &[C::SpecialUse]), // RFC 6154 section 3
    row(C::UidPlus, "UIDPLUS", &[]),                                  // RFC 4315
    row(C::Move, "MOVE", &[]),                                        // RFC 6851
    row(C::Unselect, "UNSELECT", &[]),                                // RFC 3691
    row(C::ListExtended, "LIST-EXTENDED", &[]),                       // RFC 5258
    row(C::ListStatus, "LIST-STATUS", &[C::ListExtended]),            // RFC 5819
    row(C::StatusSize, "STATUS=SIZE", &[]),                           // RFC 8438
    row(C::MultiAppend, "MULTIAPPEND", &[]),                          // RFC 3502
    row(C::ESearch, "ESEARCH", &[]),                                  // RFC 4731
    row(C::CondStore, "CONDSTORE", &[]),                              // RFC 7162
    row(C::QResync, "QRESYNC", &[C::CondStore, C::Enable]),           // RFC 7162 section 3.2
    row(C::Utf8Accept, "UTF8=ACCEPT", &[C::Enable]),                  // RFC 6855
    row(C::Binary, "BINARY", &[]),                                    // RFC 3516
    row(C::SearchRes, "SEARCHRES", &[C::ESearch]),                    // RFC 5182
    row(C::Within, "WITHIN", &[]),                                    // RFC 5032
    row(C::SaveDate, "SAVEDATE", &[]),                                // RFC 8514
    row(C::ObjectId, "OBJECTID", &[]),                                // RFC 8474
    row(C::Preview, "PREVIEW", &[]),                                  // RFC 8970
    row(C::Partial, "PARTIAL", &[C::ESearch]),                        // RFC 9394
    row(C::Replace, "REPLACE", &[]),                                  // RFC 8508
    row(C::Catenate, "CATENATE", &[]),                                // RFC 4469
    row(C::AppendLimit, "APPENDLIMIT", &[]),                          // RFC 7889
    row(C::CompressDeflate, "COMPRESS=DEFLATE", &[]),                 // RFC 4978
    row(C::Unauthenticate, "UNAUTHENTICATE", &[]),                    // RFC 8437
    row(C::UidOnly, "UIDONLY", &[C::Enable, C::UidPlus]),             // RFC 9586
    row(C::InProgress, "INPROGRESS", &[]),                            // RFC 9585
    row(C::LiteralMinus, "LITERAL-", &[]),                            // RFC 7888 section 5
    row(C::Metadata, "METADATA", &[]),                                // RFC 5464
    row(C::ListMetadata, "LIST-METADATA", &[C::Metadata, C::ListExtended]), // RFC 9590
    row(C::Quota, "QUOTA", &[]),                                      // RFC 9208
    row(C::QuotaStorage, "QUOTA=RES-STORAGE", &[C::Quota]),           // RFC 9208 section 5.1
    row(C::QuotaMessage, "QUOTA=RES-MESSAGE", &[C::Quota]),           // RFC 9208 section 5.2
    row(C::Sort, "SORT", &[]),                                        // RFC 5256
    row(C::SortDisplay, "SORT=DISPLAY", &[C::Sort]),                  // RFC 5957
    row(C::ESort, "ESORT", &[C::Sort, C::ESearch]),                   // RFC 5267 section 3
    row(C::ThreadOrderedSubject, "THREAD=ORDEREDSUBJECT", &[C::ThreadReferences]), // RFC 5256
    row(C::ThreadReferences, "THREAD=REFERENCES", &[]),               // RFC 5256
    row(C::MultiSearch, "MULTISEARCH", &[C::ESearch]),                // RFC 7377
    row(C::Notify, "NOTIFY", &[]),                                    // RFC 5465
    row(C::Acl, "ACL", &[]),                                          // RFC 4314
    row(C::Rights, "RIGHTS=texk", &[C::Acl]),                         // RFC 4314 section 5.1.1
    row(C::ListMyRights, "LIST-MYRIGHTS", &[C::Acl, C::ListExtended]), // RFC 8440
    row(C::GmailLabels, "X-GM-EXT-1", &[]),                           // developers.google.com/gmail/imap
];

/// What became part of IMAP4rev2 (RFC 9051 appendix E items 2 and 3).
const FOLDED_IN: &[Capability] = &[
    C::LiteralPlus,
    C::SaslIr,
    C::Enable,
    C::Idle,
    C::Namespace,
    C::Children,
    C::SpecialUse,
    C::UidPlus,
    C::Move,
    C::Unselect,
    C::ListExtended,
    C::ListStatus,
    C::StatusSize,
    C::ESearch,
    C::SearchRes,
    C::Binary,
];

/// The table's order is the enum's: a capability is its own place.
const _: () = {
    let mut place = 0;
    while place < TABLE.len() {
        assert!(TABLE[place].capability as usize == place);
        place += 1;
    }
};

impl Capability {
    /// All of them, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.capability)
    }

    /// As registered.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Every capability this engine has.
    pub const fn all() -> Self {
        Self((1 << TABLE.len()) - 1)
    }

    /// IMAP4rev1 and nothing more.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set with that one more.
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// The set without that one.
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !capability.bit())
    }

    /// What is in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Is it in the set, and what it rests on too?
    pub fn has(self, capability: Capability) -> bool {
        let set = self.0 & capability.bit() != 0;
        // "A server MUST NOT advertise" both (RFC 7888 section 5): LITERAL+ is more.
        let outdone = capability == Capability::LiteralMinus && self.has(Capability::LiteralPlus);
        set && !outdone && TABLE[capability as usize].rests_on.iter().all(|base| self.has(*base))
    }

    /// Those that are offered, in the order in which they are listed.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |capability| self.has(*capability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_takes_what_rests_on_it_along() {
        let without = Capabilities::all().without(Capability::CondStore);
        assert!(!without.has(Capability::QResync) && !without.has(Capability::CondStore));
        assert!(without.has(Capability::Move));
        assert!(!Capabilities::none().with(Capability::CreateSpecialUse).has(Capability::CreateSpecialUse));
        let not_offered: Vec<_> =
            Capability::all().filter(|capability| !Capabilities::all().has(*capability)).collect();
        assert_eq!(not_offered, [Capability::LiteralMinus]);
        assert_eq!(Capabilities::all().and(Capabilities::none().with(Capability::Move)).iter().count(), 1);
    }
}
