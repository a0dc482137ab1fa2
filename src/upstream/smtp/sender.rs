//! Hands messages to one SMTP server.

use super::conversation::{Conversation, dial_error};
use super::kept::Kept;
use super::login::{self, Login};
use super::transaction;
use crate::outbox::sender::{Envelope, Farewell, HandedOver, Outcome, Reply, SendError, Sender};
use crate::types::{ByteSource, limits};
use crate::upstream::dial::{self, Dial, Endpoint, Tcp, Timeouts, TlsMode};
use crate::upstream::tls::ClientTls;

/// One SMTP server: submission with a login, or another domain's mail exchanger without. A value; each message gets its
/// own connection, unless there is one that was kept.
#[derive(Debug, Clone)]
pub struct SmtpSender<D = Tcp> {
    pub dial: D,
    pub endpoint: Endpoint,
    /// Servers that take the same mail with the same login: each is tried where none before it is there for anybody.
    pub more: Vec<Endpoint>,
    pub tls: ClientTls,
    /// `None`: no AUTH (relay).
    pub login: Option<Login>,
    /// What EHLO says: a domain name or an address literal (RFC 5321 section 4.1.3).
    pub hello_name: String,
    pub timeouts: Timeouts,
    /// Where connections wait for the next message; `None`: they are closed.
    pub kept: Option<Kept>,
}

impl<D> SmtpSender<D> {
    /// A server reached by `dial`, with the usual timeouts.
    pub fn new(
        dial: D,
        endpoint: Endpoint,
        tls: ClientTls,
        login: Option<Login>,
        hello_name: impl Into<String>,
    ) -> Self {
        let hello_name = hello_name.into();
        let timeouts = Timeouts { silence_ms: limits::UPSTREAM_SMTP_SILENCE_TIMEOUT_MS, ..Timeouts::default() };
        Self { dial, endpoint, more: Vec::new(), tls, login, hello_name, timeouts, kept: None }
    }
}

impl<D: Dial + Clone> SmtpSender<D> {
    /// Each of its servers alone.
    pub fn each(&self) -> Vec<Self> {
        let alone = |endpoint: &Endpoint| Self { endpoint: endpoint.clone(), more: Vec::new(), ..self.clone() };
        self.endpoints().map(alone).collect()
    }
}

impl<D: Dial> SmtpSender<D> {
    /// Would a message be taken? Connects, logs in and leaves.
    pub async fn check(&self) -> Result<(), SendError> {
        self.connect().await?.quit().await;
        Ok(())
    }

    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.endpoint).chain(&self.more)
    }

    /// To as many of those recipients as the server takes in one session.
    async fn hand_over_in_session(
        &self,
        envelope: &Envelope,
        open: &[usize],
        bytes: &mut dyn ByteSource,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Farewell, SendError> {
        while let Some(mut conversation) = self.kept.as_ref().and_then(|kept| kept.take(&self.endpoint)) {
            match run(&mut conversation, envelope, open, bytes, outcomes).await {
                // It was closed meanwhile, or is about to be: nothing was taken over.
                Err(SendError::Lost { .. } | SendError::Refused { .. }) if is_nothing_known(open, outcomes) => {}
                Err(error) => return Err(error),
                Ok(was_taken) => return Ok(self.goodbye(conversation, was_taken)),
            }
        }
        let mut conversation = self.connect().await?;
        let was_taken = run(&mut conversation, envelope, open, bytes, outcomes).await?;
        Ok(self.goodbye(conversation, was_taken))
    }

    /// What is said when the outcomes are recorded: goodbye, or nothing before the next message. After one that the server
    /// did not take, who knows where it stands.
    fn goodbye(&self, conversation: Conversation, was_taken: bool) -> Farewell {
        match self.kept.as_ref().filter(|_| was_taken).cloned() {
            Some(kept) => Box::pin(kept.give(conversation)),
            None => Box::pin(conversation.quit()),
        }
    }

    /// A connection on which mail may be sent, to the first server that is there. No message was begun, so none can get
    /// one twice; what is wrong with a login or with TLS another server does not mend.
    async fn connect(&self) -> Result<Conversation, SendError> {
        let mut first = None;
        for endpoint in self.endpoints() {
            let connected = match self.connect_to(endpoint, true).await {
                // Opportunistic TLS that fails is as good as none (RFC 7435 section 3).
                Err(SendError::Insecure { .. }) if endpoint.may_be_plain() => self.connect_to(endpoint, false).await,
                connected => connected,
            };
            match connected {
                Err(error @ (SendError::Unreachable { .. } | SendError::Lost { .. } | SendError::Refused { .. })) => {
                    _ = first.get_or_insert(error)
                }
                decided => return decided,
            }
        }
        Err(first.expect("there is one server at least"))
    }

    async fn connect_to(&self, endpoint: &Endpoint, with_tls: bool) -> Result<Conversation, SendError> {
        let Self { dial, tls, login, hello_name, timeouts, .. } = self;
        let stream = dial::open(dial, endpoint, tls, *timeouts).await.map_err(|error| dial_error(endpoint, error))?;
        let implicit = endpoint.tls == TlsMode::Implicit;
        let mut conversation = Conversation::begin(stream, endpoint, *timeouts, implicit, hello_name).await?;
        let offered = conversation.extensions.has("STARTTLS");
        match endpoint.tls {
            TlsMode::StartTls if !offered => {
                return Err(conversation.insecure("the server does not offer STARTTLS"));
            }
            TlsMode::StartTls | TlsMode::Opportunistic if offered && with_tls => {
                conversation = conversation.start_tls(tls, hello_name).await?;
            }
            _ => {}
        }
        if !conversation.is_encrypted && !endpoint.may_be_plain() {
            return Err(conversation.insecure("plain text is not allowed to this server"));
        }
        if let Some(login) = login {
            login::log_in(&mut conversation, login).await?;
        }
        Ok(conversation)
    }
}

impl<D: Dial> Sender for SmtpSender<D> {
    async fn send(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<Vec<Outcome>, SendError> {
        Ok(self.hand_over(envelope, bytes).await?.and_leave().await)
    }

    async fn hand_over(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<HandedOver, SendError> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; envelope.recipients.len()];
        let mut farewell = Vec::new();
        loop {
            let open: Vec<usize> = (0..outcomes.len()).filter(|place| outcomes[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(HandedOver { outcomes: outcomes.into_iter().flatten().collect(), farewell });
            }
            match self.hand_over_in_session(envelope, &open, bytes, &mut outcomes).await {
                Ok(goodbye) => farewell.push(goodbye),
                Err(error) if outcomes.iter().all(Option::is_none) => return Err(error),
                // Some have it: the others get it another time.
                Err(error) => {
                    let later = Outcome::Deferred(Reply::own(451, "4.4.2", error.to_string()));
                    outcomes.iter_mut().for_each(|outcome| _ = outcome.get_or_insert_with(|| later.clone()));
                }
            }
        }
    }
}

/// Hands the message over to those recipients, in as many transactions as the server wants (RFC 9422). Did it take the last?
async fn run(
    conversation: &mut Conversation,
    envelope: &Envelope,
    open: &[usize],
    bytes: &mut dyn ByteSource,
    outcomes: &mut [Option<Outcome>],
) -> Result<bool, SendError> {
    let mut was_taken = true;
    for share in conversation.extensions.limits().shares(&envelope.recipients, open) {
        if !conversation.takes_more() {
            break;
        }
        if !was_taken {
            conversation.command("RSET\r\n").await?;
        }
        let messages_before = conversation.messages;
        let decided = transaction::run(conversation, &envelope.part(&share), bytes).await?;
        was_taken = conversation.messages > messages_before;
        for (place, outcome) in share.into_iter().zip(decided) {
            outcomes[place] = Some(outcome);
        }
    }
    Ok(was_taken)
}

fn is_nothing_known(open: &[usize], outcomes: &[Option<Outcome>]) -> bool {
    open.iter().all(|place| outcomes[*place].is_none())
}
