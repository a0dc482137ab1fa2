//! GETQUOTA and GETQUOTAROOT (RFC 9208). Every mailbox belongs to one quota root, its owner's.

use super::backend::{Account, Backend, Quota};
use super::reply::{Context, Done, Refusal, User};
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::quote::{write_astring, write_mailbox};

/// Octets of one unit of STORAGE (RFC 9208 section 5.1).
const STORAGE_UNIT_BYTES: u64 = 1024;

/// `getquota = "GETQUOTA" SP quota-root-name`
pub fn get<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.sp()?;
    let root = args.text()?;
    args.end()?;
    let quota = user.account.quota(&root)?;
    let quota = quota.ok_or_else(|| Refusal::no(Code::NonExistent, "No such quota root"))?;
    write_quota(context, &root, quota);
    Done::ok("Quota told")
}

/// `getquotaroot = "GETQUOTAROOT" SP mailbox`. "Note that the mailbox name parameter doesn't have to reference an existing
/// mailbox" (RFC 9208 section 4.1.2).
pub fn get_root<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let name = context.mailbox_name(&args.only_mailbox()?)?;
    let mut line = b"* QUOTAROOT ".to_vec();
    write_mailbox(&mut line, &name, context.enabled.name_form());
    let root = user.account.quota_root(&name)?;
    if let Some(root) = &root {
        line.push(b' ');
        write_astring(&mut line, root.as_bytes());
    }
    line.extend_from_slice(b"\r\n");
    context.out.extend_from_slice(&line);
    if let Some(root) = root
        && let Some(quota) = user.account.quota(&root)?
    {
        write_quota(context, &root, quota);
    }
    Done::ok("Quota told")
}

/// `quota-response = "QUOTA" SP quota-root-name SP quota-list`; "an empty list means there are no administrative resource
/// limits" (RFC 9208 section 4.2.1).
fn write_quota(context: &mut Context, root: &str, quota: Quota) {
    let mut resources = Vec::new();
    if let Some(limit) = quota.storage_limit_bytes {
        let (used, limit) = (quota.storage_bytes.div_ceil(STORAGE_UNIT_BYTES), limit / STORAGE_UNIT_BYTES);
        resources.push(format!("STORAGE {used} {limit}"));
    }
    if let Some(limit) = quota.message_limit {
        resources.push(format!("MESSAGE {} {limit}", quota.messages));
    }
    let mut line = b"* QUOTA ".to_vec();
    write_astring(&mut line, root.as_bytes());
    line.extend_from_slice(format!(" ({})\r\n", resources.join(" ")).as_bytes());
    context.out.extend_from_slice(&line);
}
