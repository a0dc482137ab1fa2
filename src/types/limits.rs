//! Every limit by name, with its reason. Units are in the names.

/// What a session gives its driver at once: large enough for few writes, small enough that a thousand slow
/// readers fit in memory.
pub const OUTPUT_CHUNK_BYTES: usize = 64 * 1024;

/// Pieces in which message content is stored and moved: bounds memory whatever a message's size.
pub const CONTENT_CHUNK_BYTES: usize = 256 * 1024;

/// Largest message taken from elsewhere where senders are checked: it is held in memory until its end.
pub const CHECKED_MESSAGE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// All messages held to be checked, of every session together.
pub const CHECKED_TOTAL_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Largest message taken from anyone: a 2 GB literal is refused when announced.
pub const MESSAGE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Longest command line, literals not counted (RFC 7162 section 4 asks for 8192 at least; UID sets need more).
pub const IMAP_LINE_MAX_BYTES: usize = 64 * 1024;

/// Literals other than message data in one command, together.
pub const IMAP_ARGUMENT_LITERALS_MAX_BYTES: usize = 256 * 1024;

/// Largest literal that a client may send without waiting where the server has LITERAL- (RFC 7888 section 5).
pub const LITERAL_MINUS_MAX_BYTES: u64 = 4096;

/// Octets of one annotation (RFC 5464 section 4.1 asks for 1024 at least).
pub const METADATA_VALUE_MAX_BYTES: usize = 64 * 1024;

/// Annotations of one mailbox, or of an account (RFC 5464 section 4.1 asks for 10 at least).
pub const METADATA_ENTRIES_MAX: usize = 100;

/// Entries of one mailbox's access control list: each command on the mailbox reads it.
pub const ACL_ENTRIES_MAX: usize = 200;

/// Resources of all quota roots of an account: each is kept, and shown.
pub const UPSTREAM_QUOTA_RESOURCES_MAX: usize = 100;

/// Octets of an identifier in an access control list.
pub const IDENTIFIER_MAX_BYTES: usize = 255;

/// Octets of an annotation's name.
pub const METADATA_NAME_MAX_BYTES: usize = 256;

/// How long a client is left without a word on a command that takes its time (RFC 9585 suggests 10 to 15 seconds).
pub const IMAP_PROGRESS_MS: i64 = 10_000;

/// Nesting of parentheses and SEARCH keys in a command: the parser recurses.
pub const IMAP_NESTING_MAX: usize = 64;

/// Keys of one search: each may read every message from end to end.
pub const IMAP_SEARCH_KEYS_MAX: usize = 1000;

/// Ways to name mailboxes in one ESEARCH or NOTIFY: each mailbox is held against each of them.
pub const IMAP_MAILBOX_FILTERS_MAX: usize = 100;

/// Items of one FETCH: each `BODY[]` is a whole message sent once more for every message named.
pub const IMAP_FETCH_ITEMS_MAX: usize = 256;

/// Field names of one `HEADER.FIELDS`: each line of the header is held against them.
pub const IMAP_HEADER_FIELDS_MAX: usize = 1000;

/// Bytes of the patterns of one LIST, each with the reference: each name is held against all of them.
pub const IMAP_LIST_PATTERNS_MAX_BYTES: usize = 16 * 1024;

/// Bytes of names times bytes of patterns in one step of LIST or LSUB: some ten milliseconds.
pub const IMAP_LIST_STEP_COST: usize = 4 * 1024 * 1024;

/// Keywords of a mailbox that FLAGS tells (it need not tell any, RFC 3501 section 7.2.6): the line is written anew with each
/// one that is new.
pub const IMAP_KEYWORDS_TOLD_MAX: usize = 1000;

/// Rows of a mailbox that a session asks of its backend at once where only columns are wanted.
pub const IMAP_ROWS_BATCH: usize = 500;

/// Messages whose flags a STORE changes in one transaction: what is durable is written out once for all of them.
pub const IMAP_STORE_BATCH: usize = 10_000;

/// Rows at once where each brings its message's summary (some KB, at worst some hundred).
pub const IMAP_SUMMARIES_BATCH: usize = 32;

/// Messages searched at once: keeps one step short whatever the mailbox's size.
pub const IMAP_SEARCH_BATCH: usize = 2000;

/// Messages of one APPEND (RFC 3502).
pub const IMAP_APPEND_MESSAGES_MAX: usize = 100;

/// Mailboxes whose messages one session watches (RFC 5465): each is looked at when it changed, and all at the command.
pub const IMAP_NOTIFY_MAILBOXES_MAX: usize = 5000;

/// Commands refused as BAD in a row after which a session is closed: whoever speaks here does not speak IMAP.
pub const IMAP_BAD_COMMANDS_MAX: u32 = 50;

/// Longest line taken from an upstream server outside literals. Real ENVELOPEs and FLAGS lists reach tens of KB.
pub const UPSTREAM_LINE_MAX_BYTES: usize = 1024 * 1024;

/// Parentheses in an upstream response: a deeper one overflows a recursive parser's stack.
pub const UPSTREAM_NESTING_MAX: usize = 64;

/// Literals of an upstream response that are not message data, each.
pub const UPSTREAM_LITERAL_MAX_BYTES: usize = 1024 * 1024;

/// One upstream response with its literals, message data not counted: header fields of a hostile message and the rest
/// of its FETCH fit.
pub const UPSTREAM_RESPONSE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// All that a server says in answer to one command, message data not counted: the flags of two million messages fit.
pub const UPSTREAM_ANSWER_MAX_BYTES: usize = 128 * 1024 * 1024;

/// Ranges of UIDs that a server names in answer to one question. A mailbox that lost every second of two million messages
/// fits.
pub const UPSTREAM_UID_RANGES_MAX: usize = 1_000_000;

/// Messages of which SELECT itself tells that they changed (RFC 7162 section 3.2.5.1): beyond, it is cheaper to look at all.
pub const UPSTREAM_CHANGED_MAX: usize = 1_000_000;

/// Attributes of a mailbox in a LIST response: RFC 5258 and RFC 6154 have some twenty.
pub const UPSTREAM_LIST_ATTRIBUTES_MAX: usize = 50;

/// Longest command line sent upstream, unless the server is known to want less (RFC 7162 section 4 has servers take
/// 8192; QUIRKS.md row 40).
pub const UPSTREAM_COMMAND_LINE_MAX_BYTES: usize = 8000;

/// Commands on their way to an upstream server at once: as many as a round trip answers, and what a server has to keep
/// in mind of us.
pub const UPSTREAM_PIPELINE_MAX: usize = 400;

/// Bytes of the messages that share one APPEND (RFC 3502): so much is sent again after a cut.
pub const UPSTREAM_APPEND_TOGETHER_BYTES: u64 = 1024 * 1024;

/// Messages that share one APPEND: one that is refused lets so many be sent again.
pub const UPSTREAM_APPENDS_TOGETHER: usize = 100;

/// UIDs asked of in one UID SEARCH of a mailbox with more messages: the answer stays below [`UPSTREAM_LINE_MAX_BYTES`].
pub const UPSTREAM_SEARCH_WINDOW_UIDS: u32 = 80_000;

/// How long a connection to another domain's server is kept for the next message: servers wait five minutes (RFC 5321
/// section 4.5.3.2.7), and have better things to do.
pub const KEPT_CONNECTION_MS: u64 = 20_000;

/// Connections kept so at once, to all servers together.
pub const KEPT_CONNECTIONS_MAX: usize = 100;

/// Messages after which a connection is not kept: another address of the same name has its turn.
pub const KEPT_CONNECTION_MESSAGES_MAX: u32 = 100;

/// Messages on their way to one domain at once.
pub const RELAY_LANES_PER_DOMAIN: usize = 8;

/// Longest head of an HTTP answer: a policy or a token comes with little.
pub const HTTP_HEAD_MAX_BYTES: usize = 16 * 1024;

/// Longest body of an HTTP answer: RFC 8461 section 3.3 asks for a limit such as 64 kilobytes.
pub const HTTP_BODY_MAX_BYTES: usize = 64 * 1024;

/// How long an HTTP answer may take, connection and all (RFC 8461 section 3.3: a minute).
pub const HTTP_TIMEOUT_MS: u64 = 60_000;

/// Longest SMTP reply taken, all lines together: RFC 5321 section 4.5.3.1.5 asks for 512 a line.
pub const UPSTREAM_REPLY_MAX_BYTES: usize = 64 * 1024;

/// Longest line of an upstream POP3 server outside messages: RFC 2449 section 4 says 512, listings some more.
pub const UPSTREAM_POP3_LINE_MAX_BYTES: usize = 4096;

/// Messages in an upstream maildrop: what is known of each must fit into memory.
pub const UPSTREAM_POP3_MESSAGES_MAX: usize = 500_000;

/// Commands on their way to an upstream POP3 server at once (RFC 2449 section 6.6): their answers are messages.
pub const UPSTREAM_POP3_PIPELINE_MAX: usize = 32;

/// How long making a connection to an upstream server may take, TLS handshake included.
pub const UPSTREAM_CONNECT_TIMEOUT_MS: u64 = 30_000;

/// How long an upstream server may take to greet: some look up the client's name first.
pub const UPSTREAM_GREETING_TIMEOUT_MS: u64 = 60_000;

/// How long an upstream server may be silent while a command is running: searching a large mailbox takes its time.
pub const UPSTREAM_SILENCE_TIMEOUT_MS: u64 = 120_000;

/// How long an upstream SMTP server may take to answer a command (RFC 5321 sections 4.5.3.2.2 and 4.5.3.2.3).
pub const UPSTREAM_SMTP_SILENCE_TIMEOUT_MS: u64 = 5 * 60_000;

/// How long an upstream SMTP server may think about a message after its last byte (RFC 5321 section 4.5.3.2.6).
pub const UPSTREAM_DATA_TIMEOUT_MS: u64 = 10 * 60_000;

/// After how long IDLE is issued anew: servers hang up at 30 minutes (RFC 2177 section 3), address translators sooner.
pub const UPSTREAM_IDLE_REISSUE_MS: u64 = 25 * 60_000;

/// How long a server may take to answer DONE: it has nothing to do, so one that does not answer is not there any more.
pub const UPSTREAM_PROBE_TIMEOUT_MS: u64 = 20_000;

/// How soon a server without IDLE is asked for changes again after one: where something happened more may.
pub const UPSTREAM_POLL_MIN_MS: u64 = 15_000;

/// How often it is asked while nothing happens.
pub const UPSTREAM_POLL_MAX_MS: u64 = 60_000;

/// How long a goodbye may take.
pub const UPSTREAM_LOGOUT_TIMEOUT_MS: u64 = 5_000;

/// Longest SMTP command line: RFC 5321 section 4.5.3.1.4 asks for 512, RFC 4954 section 4 for 12288 with AUTH.
pub const SMTP_LINE_MAX_BYTES: usize = 12 * 1024 + 512;

/// Things a client should not have sent, refused recipients among them, after which an SMTP session is closed: one
/// who guesses names or speaks another protocol is cut off, a long recipient list with a few dead names is not.
pub const SMTP_MISTAKES_MAX: u32 = 20;

/// Of these so many are answered at once where there is a tarpit.
pub const SMTP_MISTAKES_FREE: u32 = 3;

/// What a client may send ahead while an answer is held back: a thousand recipients.
pub const SMTP_HELD_INPUT_MAX_BYTES: usize = 256 * 1024;

/// Received fields of a message that does not go round in circles (RFC 5321 section 6.3: 100 at least).
pub const RECEIVED_FIELDS_MAX: usize = 100;

/// Recipients of one message (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
pub const SMTP_RECIPIENTS_MAX: usize = 1000;

/// Longest POP3 command line: RFC 2449 section 4 asks for 255; SASL needs more (RFC 5034 section 4).
pub const POP3_LINE_MAX_BYTES: usize = 12 * 1024 + 512;

/// What a POP3 client may send ahead while an answer is held back: a few lines.
pub const POP3_HELD_INPUT_MAX_BYTES: usize = 2 * POP3_LINE_MAX_BYTES;

/// How long the answer to a failed login waits, by SMTP and POP3, where the configuration says nothing else; to this
/// machine's own programs it does not.
pub const TARPIT_MS: i64 = 2_000;

/// Header bytes of one message that are parsed; the rest of a larger header is body to the parser.
pub const HEADER_MAX_BYTES: usize = 1024 * 1024;

/// MIME parts of one message that are told apart; deeper or later ones are opaque.
pub const MIME_PARTS_MAX: usize = 10_000;

/// Bytes of all headers of one message, those of its parts included, that are turned into values: bounds the summary.
pub const MIME_HEADERS_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Addresses of one message, nested messages included, that its envelopes show: a list of nothing but commas would
/// otherwise take a hundred times its size in memory.
pub const ENVELOPE_ADDRESSES_MAX: usize = 50_000;

/// Parameters of one Content-Type or Content-Disposition.
pub const MIME_PARAMETERS_MAX: usize = 256;

/// Bytes of a boundary that are compared (RFC 2046 section 5.1.1 allows 70).
pub const MIME_BOUNDARY_MAX_BYTES: usize = 256;

/// Depth of nested multiparts and message/rfc822.
pub const MIME_NESTING_MAX: usize = 100;

/// Words in one query that a person typed.
pub const SEARCH_WORDS_MAX: usize = 100;

/// Bytes of a part in which words to show are looked for.
pub const SNIPPET_SOURCE_BYTES: usize = 256 * 1024;

/// Text of one message in the search index: what has more is read when it is searched.
pub const SEARCH_INDEXED_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a part that are decoded at once for SEARCH.
pub const SEARCH_WINDOW_BYTES: usize = 1024 * 1024;

/// Bytes of a subject or an address by which messages are told apart in SORT and THREAD: bounds what a SORT of a large
/// mailbox holds in memory.
pub const SORT_KEY_MAX_BYTES: usize = 1024;

/// Messages that one message may say it answers (THREAD): mail programs keep some tens, and the nearest ones count.
pub const REFERENCES_MAX: usize = 200;

/// Steps from a message to the ones it answers that one THREAD takes to find out about circles. Mail as people write it
/// needs next to none.
pub const THREAD_STEPS_MAX: usize = 20_000_000;

/// Characters of a preview (RFC 8970 section 3.3).
pub const PREVIEW_CHARACTERS: usize = 200;

/// Bytes of a text part from which its preview is made: markup leaves a few words of them.
pub const PREVIEW_SOURCE_BYTES: usize = 32 * 1024;

/// Bytes of a mailbox name in UTF-8.
pub const MAILBOX_NAME_MAX_BYTES: usize = 1000;

/// Messages of one journal entry; an act on more is several. An entry is read whole for each of its messages.
pub const JOURNAL_ENTRY_MESSAGES_MAX: usize = 500;

/// Messages of which it is noted at once that a change to them was made upstream: nobody else writes meanwhile, and of each
/// there may be hundreds of entries.
pub const SETTLED_AT_ONCE_MAX: usize = 50;

/// Keywords on one message.
pub const KEYWORDS_MAX: usize = 256;

/// Bytes of one keyword.
pub const KEYWORD_MAX_BYTES: usize = 256;

/// Levels of a mailbox's name that a client can make: every level above is looked at whenever mailboxes are listed.
pub const MAILBOX_LEVELS_MAX: usize = 32;

/// Mailboxes of one account.
pub const MAILBOXES_MAX: usize = 100_000;

/// Names one account is subscribed to: as many as it can have mailboxes. Each is looked at whenever subscriptions are listed.
pub const SUBSCRIPTIONS_MAX: usize = MAILBOXES_MAX;

/// How long a login may take before the server hangs up.
pub const PRE_LOGIN_TIMEOUT_MS: i64 = 60_000;

/// How long an authenticated IMAP session may be silent (RFC 3501 section 5.4: at least 30 minutes).
pub const IMAP_IDLE_TIMEOUT_MS: i64 = 35 * 60_000;

/// How long a POP3 session may be silent (RFC 1939 section 3: at least 10 minutes).
pub const POP3_IDLE_TIMEOUT_MS: i64 = 10 * 60_000;

/// How long an SMTP session may be silent (RFC 5321 section 4.5.3.2.7: at least 5 minutes).
pub const SMTP_IDLE_TIMEOUT_MS: i64 = 5 * 60_000;

/// Failed logins after which a session is closed.
pub const LOGIN_FAILURES_MAX: u32 = 3;

/// How long the answer to a failed login waits, and that much more each time: guessing takes its time.
pub const LOGIN_FAILURE_DELAY_MS: i64 = 1_000;

/// And no answer waits longer than this.
pub const LOGIN_FAILURE_DELAY_MAX_MS: i64 = 30_000;

/// How long a failed login counts against others from the same place.
pub const LOGIN_FAILURES_KEPT_MS: i64 = 15 * 60 * 1000;

/// Places whose failed logins are remembered.
pub const LOGIN_FAILURES_PLACES_MAX: usize = 4096;

/// Connections served at once by one program: descriptors and memory are finite.
pub const CONNECTIONS_MAX: usize = 1000;

/// Connections served at once from one address that is not loopback: one peer cannot shut the others out.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 50;

/// IMAP sessions that one user has open at once: several programs with a connection for each mailbox, and still places for
/// others among [`CONNECTIONS_MAX`].
pub const SESSIONS_PER_USER_MAX: usize = 400;

/// Bytes read from a peer at once.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How long a TLS handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT_MS: u64 = 30_000;

/// How long a peer may take to read one [`OUTPUT_CHUNK_BYTES`]: a reader slower than this is gone.
pub const WRITE_STALL_TIMEOUT_MS: u64 = 5 * 60_000;

/// How long sessions may take to say goodbye when the program stops.
pub const SHUTDOWN_GRACE_MS: u64 = 3_000;

/// Outgoing messages told in one answer to who asks for them piece by piece: an answer of half a megabyte or so.
pub const OUTBOX_PAGE: usize = 1000;

/// One line from syncctl: a method with a few names, or with a message as large as one that is shown.
pub const CONTROL_REQUEST_MAX_BYTES: usize = CONTROL_ANSWER_MAX_BYTES;

/// How long a message waits for its editor where nobody knows whether that is still open: syncctl looks for a daemon that
/// was started anew once a second, and a machine may be slow.
pub const EDITOR_GRACE_MS: i64 = 2 * 60_000;

/// How long a message lies in an editor that stays open: whoever comes back from a journey finds it there.
pub const EDITOR_MAX_MS: i64 = 31 * 24 * 60 * 60_000;

/// One line from syncd: the status of [`MAILBOXES_MAX`] mailboxes, each with a name of usual length.
pub const CONTROL_ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long a message may be asked to wait before it is sent (RFC 4865): a year and a day.
pub const HOLD_MAX_SECONDS: u32 = 366 * 24 * 60 * 60;
pub const HOLD_MAX_MS: i64 = HOLD_MAX_SECONDS as i64 * 1000;

/// How long a server may say "not now" to a message before that is a failure (RFC 5321 section 4.5.4.1: 4 to 5 days).
pub const SUBMISSION_RETRY_MS: i64 = 5 * 24 * 60 * 60_000;

/// How long a server may say "not now" before the sender is told that it takes its time: a working morning.
pub const SUBMISSION_DELAY_WARNING_MS: i64 = 4 * 60 * 60_000;

/// How long our copy in Sent waits for a copy that others were seen to make late: longer than they take, short enough that
/// nobody misses it.
pub const SENT_COPY_PATIENCE_MS: i64 = 120_000;

/// How far back a late copy is still told for what it is.
pub const SENT_COPY_MEMORY_MS: i64 = 24 * 60 * 60_000;

/// Wait before the second attempt to send a message: a server that restarts is back soon. Greylisting servers want a few
/// minutes, which the doubling reaches at the fifth.
pub const SUBMISSION_RETRY_FIRST_MS: i64 = 15_000;

/// Longest wait between two attempts (RFC 5321 section 4.5.4.1 asks for 30 minutes at least, for hosts that keep failing).
pub const SUBMISSION_RETRY_LAST_MS: i64 = 60 * 60_000;

/// How long what was deleted stays recoverable (30 days): longer than a holiday.
pub const RECOVERY_MS: i64 = 30 * 24 * 3_600_000;

/// How long a server remembers what it took, to know a message that is sent again because its answer was lost: a client
/// off for a long weekend included.
pub const TAKEN_MEMORY_MS: i64 = 7 * 24 * 60 * 60_000;

/// Of a log file; the one before it is kept as well. Weeks of a quiet account, a day of a busy one at debug.
pub const LOG_FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;
