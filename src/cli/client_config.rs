//! `syncctl client-config`.

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::ClientConfig;

pub(super) async fn run(context: &mut Context) -> Result<Exit, Failure> {
    let config: ClientConfig = context.ask(&Request::ClientConfig).await?;
    if context.json {
        context.screen.json(&config)?;
        return Ok(Exit::Done);
    }
    let security = if config.security == "none" { "no TLS" } else { "STARTTLS" };
    let screen = &mut context.screen;
    for user in &config.users {
        screen.line(&format!("address:   {}", user.address))?;
        screen.line(&format!("user:      {}", user.user))?;
        screen.line(&format!("password:  {}", config.password))?;
        screen.line(&format!("IMAP:      {} ({security})", config.imap))?;
        screen.line(&format!("SMTP:      {} ({security})", config.smtp))?;
        if let Some(pop3) = &config.pop3 {
            screen.line(&format!("POP3:      {pop3} ({security})"))?;
        }
        for (name, address) in [("IMAP:", &config.imaps), ("SMTP:", &config.smtps), ("POP3:", &config.pop3s)] {
            if let Some(address) = address {
                screen.line(&format!("{name}      {address} (TLS)"))?;
            }
        }
        if let Some(authority) = &config.certificate_authority {
            screen.line(&format!("trust:     {authority}"))?;
        }
        screen.line("")?;
    }
    Ok(Exit::Done)
}
