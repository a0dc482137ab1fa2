//! What the flags of a message are once one act of the user on them is off. Pure.

use super::{Entry, Op};
use crate::types::{Flag, Flags};

/// The flags of a message that has `here`, without the act that set `add` and unset `remove`: of those flags each is what the
/// last of the `others` asks for, the entries open about the message in order; where none names it, what upstream has (`base`),
/// or the opposite of what the act did where the message is not upstream. Flags that the act did not name stay.
pub fn flags_without(here: &Flags, base: Option<&Flags>, (add, remove): (&Flags, &Flags), others: &[Entry]) -> Flags {
    let mut flags = here.clone();
    for flag in add.union(remove).iter() {
        let asked = others.iter().rev().find_map(|entry| asks_for(&entry.op, &flag));
        let is_set = asked.unwrap_or_else(|| match base {
            Some(base) => base.contains(&flag),
            None => remove.contains(&flag),
        });
        match is_set {
            true => flags.insert(flag),
            false => flags.remove(&flag),
        };
    }
    flags
}

/// Does the act set the flag, or unset it?
fn asks_for(op: &Op, flag: &Flag) -> Option<bool> {
    match op {
        Op::Flags { add, .. } if add.contains(flag) => Some(true),
        Op::Flags { remove, .. } if remove.contains(flag) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::State;
    use crate::types::{AccountId, EntryId, MessageId, Timestamp};

    const M: MessageId = MessageId::new(7);

    fn flags(text: &str) -> Flags {
        text.split_whitespace().filter_map(Flag::parse).collect()
    }

    fn other((add, remove): &(&str, &str)) -> Entry {
        Entry {
            id: EntryId::new(1),
            account: AccountId::new(1),
            created: Timestamp::from_unix_ms(0),
            op: Op::Flags { messages: vec![M], add: flags(add), remove: flags(remove) },
            open: vec![M],
            state: State::Pending,
            attempts: 0,
        }
    }

    #[test]
    fn what_an_act_changed_is_as_upstream_has_it_or_as_another_asks() {
        // here; upstream; set and unset by the act; the others; what is left.
        type Row =
            (&'static str, Option<&'static str>, (&'static str, &'static str), &'static [(&'static str, &'static str)]);
        let table: [(Row, &str); 8] = [
            (("a b", Some("b"), ("a", ""), &[]), "b"),
            (("", Some("a"), ("", "a"), &[]), "a"),
            (("a", Some("a"), ("a", ""), &[]), "a"),
            (("a local", Some(""), ("a", ""), &[]), "local"),
            (("a", Some(""), ("a", ""), &[("b", ""), ("A", "")]), "a"),
            (("a", Some(""), ("", "a"), &[("a", ""), ("", "a")]), ""),
            (("a", None, ("a", ""), &[]), ""),
            (("", None, ("", "\\Seen"), &[]), "\\Seen"),
        ];
        for ((here, base, (add, remove), others), left) in table {
            let (base, others) = (base.map(flags), others.iter().map(other).collect::<Vec<_>>());
            let now = flags_without(&flags(here), base.as_ref(), (&flags(add), &flags(remove)), &others);
            assert_eq!(now, flags(left), "{here:?} {base:?} +{add:?} -{remove:?} {others:?}");
        }
    }
}
