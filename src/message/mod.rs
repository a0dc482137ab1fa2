//! Reading mail: RFC 5322 and MIME (RFC 2045 to 2049, 2231) as mail is in the wild. Pure.
//!
//! Rules: any bytes give an answer, never a panic, in bounded memory and linear time; raw values are kept raw
//! (ENVELOPE and BODYSTRUCTURE show what stands in the message, not what it decodes to); every part knows its byte
//! range, so a section is a slice of the stored bytes.

mod address;
pub mod asked;
mod casemap;
mod content_type;
mod date;
mod entity;
pub mod fingerprint;
mod fold;
pub mod header;
mod keys;
mod lexical;
pub mod octets;
pub mod outline;
pub mod preview;
mod received;
pub mod scan;
pub mod search;
pub mod searched;
pub mod section;
pub mod snippet;
pub mod sort;
mod subject;
pub mod summary;
pub mod surrogate;
mod text;
pub mod thread;
pub mod transfer;
mod visible;

pub use fingerprint::fingerprint;
pub use fold::folded;
pub use keys::{Keyed, Keys, KeysRead};
pub use received::received_at;
pub use scan::Scanner;
pub use section::{Section, SectionText};
pub use summary::{Address, Body, Disposition, Envelope, Parameters, Part, Summary};
pub use text::header_value;
