//! Faults on demand: what servers do to their clients, and what a client must survive or report.
//!
//! A request asks for one with the header `x-llmbench-fault: KIND[:ARG[:ARG]]`; a server gives them to requests that ask for none with
//! a probability ([`Faults`]). The kinds, with the meaning and the default of their arguments:
//!
//! | kind | what happens |
//! |---|---|
//! | `stall:MS[:K]` | this answer pauses for MS ms after K chunks (0); what the engine gives meanwhile follows at once, a chunk a write |
//! | `stall-server:MS` | the engine stops for MS ms |
//! | `reset[:K]` | the connection is reset after K chunks (0: before any byte) |
//! | `truncate[:K]` | the connection is closed after K chunks (1), in the middle of the chunked coding |
//! | `no-done` | the stream ends properly but without `[DONE]` |
//! | `empty` | status 200 and no token |
//! | `endless[:MS]` | after the answer a further chunk follows every MS ms (10) until the client goes away |
//! | `split-line[:MS]` | each event is written in two parts, MS ms (2) apart, cut in the middle of a line or between its line ends |
//! | `split-utf8[:MS]` | the same, cut within a character; the words are of characters of 2, 3 and 4 bytes |
//! | `tokens-per-chunk:K` | K tokens a chunk |
//! | `garbage[:K]` | after K chunks (1) an event that is neither JSON nor UTF-8; then the stream goes on |
//! | `error-event[:K]` | after K chunks (1) an event with an error; then the stream ends |
//! | `no-usage` | usage is not told, though it was asked for |
//! | `usage-in-choice` | usage comes in the last event with a choice, and in none of its own |
//! | `huge[:BYTES]` | one token of so many bytes (64 MiB) |
//! | `slow-head[:MS]` | the head of the answer comes byte by byte over MS ms (200) |
//! | `content-type[:TYPE]` | the answer claims to be of this type (text/html) |
//! | `close` | the connection is closed after the answer, which promised to keep it |
//! | `401`, `429[:S]`, `503[:S]`, `status:N` | this status; Retry-After is S seconds (1) |
//! | `redirect[:URL]` | status 307 to URL (the same path on a port where nobody listens) |
//! | `no-http` | the answer is not HTTP |

mod kind;
mod refusal;

pub use kind::{BadFault, Fault};
pub use refusal::{NO_HTTP, refusal};

use crate::tokens::mix;

/// Faults that happen by chance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// One of these, each as often as the others.
    pub kinds: Vec<Fault>,
    /// How likely a request gets one, 0 to 1.
    pub probability: f64,
    pub seed: u64,
}

impl Faults {
    /// The fault of request number `number`: the same for the same seed.
    pub fn draw(&self, number: u64) -> Option<&Fault> {
        let drawn = mix(mix(self.seed.wrapping_add(1)) ^ number);
        // 53 bits are what a float holds.
        let chance = (drawn >> 11) as f64 / (1u64 << 53) as f64;
        let count = self.kinds.len() as u64;
        (count > 0 && chance < self.probability).then(|| &self.kinds[(mix(drawn) % count) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_as_asked_and_repeats() {
        let faults = Faults { kinds: vec![Fault::NoDone, Fault::Empty], probability: 0.25, seed: 3 };
        let drawn: Vec<_> = (0..10_000).map(|number| faults.draw(number)).collect();
        let count = |fault: Fault| drawn.iter().filter(|drawn| **drawn == Some(&fault)).count();
        // 1,250 each with a standard deviation of 33.
        assert!((1100..1400).contains(&count(Fault::NoDone)) && (1100..1400).contains(&count(Fault::Empty)));
        assert!(drawn.iter().zip(0..).all(|(drawn, number)| *drawn == faults.draw(number)));
        assert_eq!(Faults { probability: 0.0, ..faults.clone() }.draw(1), None);
        assert!((0..100).all(|number| Faults { probability: 1.0, ..faults.clone() }.draw(number).is_some()));
        assert_eq!(Faults { kinds: Vec::new(), ..faults }.draw(1), None);
    }
}
