//! A message in the outbox that its user writes anew.
//!
//! Rules: while it lies in an editor it does not go out; an editor that died, or went down with the machine, keeps it no
//! longer than [`limits::EDITOR_GRACE_MS`]. The new message is queued and the old one settled in one transaction, so that
//! one of them goes out and never both. The new one keeps what was not edited: its moment, that it is held, what was asked
//! of reports; who has the old one does not get the new one.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::outbox::{RecipientState, Submission, SubmissionState};
use super::outbox_acts::NewSubmission;
use super::stays::Stays;
use super::{Result, StoredContent, Txn};
use crate::outbox::sender::{Envelope, Recipient};
use crate::types::{AccountId, SubmissionId, Timestamp, limits};

/// What goes in place of a message.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// By which it goes out.
    pub account: AccountId,
    pub mail_from: String,
    /// Whom it is for. Those who have the old one may be among them.
    pub to: Vec<String>,
    pub content: StoredContent,
    /// The Message-ID header.
    pub message_id: String,
    pub eight_bit: bool,
    /// Its header needs SMTPUTF8 (RFC 6531), if the old one's did.
    pub utf8_header: bool,
    /// Not to be sent earlier, whatever was said of the old one.
    pub not_before: Option<Timestamp>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The new message.
    pub by: SubmissionId,
    /// Who has the old one, and does not get the new one.
    pub have_it: Vec<String>,
    /// Who may have the old one, for the answer to it was lost.
    pub may_have_it: Vec<String>,
}

impl Txn<'_> {
    /// It lies in an editor from now on, until that is closed.
    pub fn open_in_editor(&mut self, submission: SubmissionId) -> Result<()> {
        let found = self.submission_now(submission)?;
        let is_open = found.edited_until > self.now().plus_ms(limits::EDITOR_GRACE_MS);
        if let Some(stays) = Stays::of_written(&found).or(is_open.then_some(Stays::BeingEdited)) {
            return Err(stays.into());
        }
        let until = self.now().plus_ms(limits::EDITOR_MAX_MS);
        self.edit_until(&found, until)
    }

    /// The editor is closed: it goes out when it would have.
    pub fn close_editor(&mut self, submission: SubmissionId) -> Result<()> {
        match self.reader().submission(submission)? {
            Some(found) if found.edited_until > NEVER => self.edit_until(&found, NEVER),
            _ => Ok(()),
        }
    }

    /// Nobody is known to have an editor open (the program starts). Whoever has says so within a while.
    pub fn leave_editors(&mut self) -> Result<()> {
        let until = self.now().plus_ms(limits::EDITOR_GRACE_MS);
        let mut update =
            self.conn().prepare_cached("UPDATE submission SET edited_until_ms = ?1 WHERE edited_until_ms > ?1")?;
        update.execute([until.unix_ms()])?;
        Ok(())
    }

    /// Queues `new` in place of the message, which is settled: whoever waited for it waits for the new one.
    pub fn replace_submission(&mut self, submission: SubmissionId, new: &Replacement) -> Result<Replaced> {
        let found = self.submission_now(submission)?;
        // That it lies in an editor is no hindrance: what was written there comes.
        if let Some(stays) = Stays::of_written(&found) {
            return Err(stays.into());
        }
        let (envelope, have_it) = envelope(&found, new);
        let open = if found.in_doubt { found.places(RecipientState::Waiting) } else { Vec::new() };
        let may_have_it = open.into_iter().map(|place| found.envelope.recipients[place].address.clone()).collect();
        if envelope.recipients.is_empty() {
            return Err(Stays::NobodyLeft.into());
        }
        let by = self.enqueue(&NewSubmission {
            account: new.account,
            content: new.content.clone(),
            envelope,
            message_id: new.message_id.clone(),
            file: true,
            not_before: new.not_before.max(Some(found.not_before)),
        })?;
        if found.state == SubmissionState::Held {
            self.hold_submission(by)?;
        }
        self.settle_rest(submission)?;
        let mut update = self.conn().prepare_cached("UPDATE submission SET replaced_by = ?2 WHERE id = ?1")?;
        update.execute([submission.get(), by.get()])?;
        self.touch(found.account);
        Ok(Replaced { by, have_it, may_have_it })
    }

    fn edit_until(&mut self, found: &Submission, until: Timestamp) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE submission SET edited_until_ms = ?2 WHERE id = ?1")?;
        update.execute(params![found.id.get(), until.unix_ms()])?;
        self.touch(found.account);
        Ok(())
    }
}

const NEVER: Timestamp = Timestamp::from_unix_ms(0);

/// Of the old envelope what is not said anew; and who has the old message.
fn envelope(old: &Submission, new: &Replacement) -> (Envelope, Vec<String>) {
    let known = old.envelope.recipients.iter().zip(&old.recipients);
    let known: BTreeMap<&str, _> =
        known.map(|(known, status)| (known.address.as_str(), (known, status.state))).collect();
    let (mut recipients, mut have_it) = (Vec::with_capacity(new.to.len()), Vec::new());
    let mut seen = BTreeSet::new();
    for address in new.to.iter().filter(|address| seen.insert(address.as_str())) {
        match known.get(address.as_str()) {
            None => recipients.push(Recipient {
                address: address.clone(),
                notify: usual_notify(&old.envelope),
                orcpt: None,
            }),
            Some((known, RecipientState::Waiting | RecipientState::Failed)) => recipients.push((*known).clone()),
            Some((_, RecipientState::Accepted)) => have_it.push(address.clone()),
            Some((_, RecipientState::Cancelled)) => {}
        }
    }
    let is_ascii = new.mail_from.is_ascii() && recipients.iter().all(|recipient| recipient.address.is_ascii());
    let envelope = Envelope {
        mail_from: new.mail_from.clone(),
        recipients,
        eight_bit: new.eight_bit,
        smtp_utf8: !is_ascii || old.envelope.smtp_utf8 && new.utf8_header,
        ret: old.envelope.ret.clone(),
        envid: old.envelope.envid.clone(),
    };
    (envelope, have_it)
}

/// What was asked for each recipient, where it was the same: who comes in new gets that, too.
fn usual_notify(old: &Envelope) -> Option<String> {
    let first = old.recipients.first()?;
    let is_usual = old.recipients.iter().all(|recipient| recipient.notify == first.notify);
    first.notify.clone().filter(|_| is_usual)
}
