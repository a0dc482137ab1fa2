//! What every fuzz target is made of: the properties of `tests/properties`, and the tests' backends in memory that they
//! need. Nothing is written twice: `cargo test` runs the same functions.

#[path = "../../tests/it/imap/memory_backend.rs"]
pub mod imap_memory_backend;
#[path = "../../tests/it/pop3/memory_backend.rs"]
pub mod pop3_memory_backend;
#[path = "../../tests/properties/mod.rs"]
pub mod properties;
#[path = "../../tests/it/smtp/memory_backend.rs"]
pub mod smtp_memory_backend;

// Where the properties expect them, as in `tests/it`.
mod imap {
    pub use crate::imap_memory_backend as memory_backend;
}
mod pop3 {
    pub use crate::pop3_memory_backend as memory_backend;
}
mod smtp {
    pub use crate::smtp_memory_backend as memory_backend;
}

pub use libfuzzer_sys;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// More than any input of a fuzzer's size may make the code hold at once, the outputs kept to be compared included.
const MEMORY_MAX_BYTES: usize = 128 * 1024 * 1024;

/// Checks the property of that name, and that it takes no more memory than it may.
pub fn check(name: &str, input: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    properties::check(name, input);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= MEMORY_MAX_BYTES, "{taken} bytes of memory at once");
}

/// The program of one fuzz target.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::check(stringify!($name), input));
    };
}
