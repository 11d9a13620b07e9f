//! One request on a server of models.

use serde::{Deserialize, Serialize};
use server_api::Finish;

use super::reply::Reply;
use crate::outcome::Outcome;

/// Where the number of output tokens of a request comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Chunks with content were counted: right only for a server that sends a token a chunk.
    #[default]
    Chunks,
    /// The model's tokenizer counted the text after the run.
    Tokenizer,
    /// The server's usage.
    Server,
}

/// One request. All times are CLOCK_MONOTONIC, ns; 0 is a stamp that never came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was due. In an open loop from the schedule; a session's later turn is due its think time after the answer before it;
    /// in a closed loop when its slot became free.
    pub scheduled_ns: u64,
    /// When the cap on requests in flight let it go; equal to `scheduled_ns` where no cap held it.
    pub released_ns: u64,
    /// When its bytes were first offered to the socket.
    pub began_ns: u64,
    /// When its last byte was written.
    pub sent_ns: u64,
    /// When its connection stood, if one was opened for it; 0 where one stood already.
    pub connected_ns: u64,
    /// The first byte of the answer.
    pub first_byte_ns: u64,
    /// The first chunk with content.
    pub first_token_ns: u64,
    /// The first chunk with content that is no reasoning.
    pub first_output_ns: u64,
    /// The last chunk with content.
    pub last_token_ns: u64,
    /// The last byte of the answer, or its failure.
    pub done_ns: u64,
    /// Prompt tokens by the server's usage; 0 where it gives none.
    pub prompt_tokens: u32,
    /// Output tokens, reasoning included; see `counted`.
    pub output_tokens: u32,
    /// Prompt tokens that came from a cache, by the server's usage.
    pub cached_tokens: u32,
    /// Chunks with content.
    pub chunks: u32,
    /// Number of its session in the run; a request without further turns is a session of one.
    pub session: u32,
    /// Number of its turn in the session, from 0.
    pub turn: u16,
    /// HTTP status; 0 without an answer.
    pub status: u16,
    pub counted: Counted,
    pub finish: Finish,
    /// The socket took its bytes only in part at first.
    pub held_back: bool,
    pub outcome: Outcome,
}

impl Record {
    /// A request that is about to be sent.
    pub(super) fn due(session: u32, turn: u16, scheduled_ns: u64, released_ns: u64) -> Self {
        Self {
            scheduled_ns,
            released_ns,
            began_ns: 0,
            sent_ns: 0,
            connected_ns: 0,
            first_byte_ns: 0,
            first_token_ns: 0,
            first_output_ns: 0,
            last_token_ns: 0,
            done_ns: 0,
            prompt_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            chunks: 0,
            session,
            turn,
            status: 0,
            counted: Counted::Chunks,
            finish: Finish::Unknown,
            held_back: false,
            outcome: Outcome::Pending,
        }
    }

    /// Takes over what came of it.
    pub(super) fn take(&mut self, reply: &Reply) {
        self.first_byte_ns = reply.first_byte_ns;
        self.first_token_ns = reply.first_token_ns;
        self.first_output_ns = reply.first_output_ns;
        self.last_token_ns = reply.last_token_ns;
        self.chunks = reply.chunks;
        self.status = reply.status;
        self.finish = reply.finish;
        self.prompt_tokens = reply.usage.prompt.unwrap_or(0);
        self.cached_tokens = reply.usage.cached.unwrap_or(0);
        (self.output_tokens, self.counted) = match reply.usage.completion {
            Some(tokens) => (tokens, Counted::Server),
            None => (reply.chunks, Counted::Chunks),
        };
    }

    /// True if it was answered whole, without an error and with at least one token.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// TTFT from a stamp of the request to the first chunk with content, ns; None without a stream.
    pub fn ttft_ns(&self, from: From) -> Option<u64> {
        self.since(from, self.first_token_ns)
    }

    /// TTFO, to the first chunk with content that is no reasoning, ns.
    pub fn ttfo_ns(&self, from: From) -> Option<u64> {
        self.since(from, self.first_output_ns)
    }

    /// E2E, to the last chunk with content, ns.
    pub fn e2e_ns(&self, from: From) -> Option<u64> {
        self.since(from, self.last_token_ns)
    }

    /// TPOT: `(last − first chunk with content) / (output tokens − 1)`, ns; None below two tokens or without a stream.
    pub fn tpot_ns(&self) -> Option<f64> {
        let span = self.last_token_ns.checked_sub(self.first_token_ns).filter(|_| self.first_token_ns > 0)?;
        (self.output_tokens > 1).then(|| span as f64 / f64::from(self.output_tokens - 1))
    }

    fn since(&self, from: From, stamp: u64) -> Option<u64> {
        let start = match from {
            From::Scheduled => self.scheduled_ns,
            From::Sent => self.sent_ns,
        };
        (stamp > 0 && start > 0).then(|| stamp.saturating_sub(start))
    }
}

/// Where a latency begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// When the request was due: the headline, because a user waits from then on.
    Scheduled,
    /// When its last byte was written.
    Sent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_by_hand() {
        let mut record = Record::due(0, 0, 1000, 1000);
        record.sent_ns = 1100;
        let mut reply = Reply::default();
        (reply.first_token_ns, reply.first_output_ns, reply.last_token_ns, reply.chunks) = (2000, 2500, 5000, 4);
        record.take(&reply);
        assert_eq!((record.ttft_ns(From::Scheduled), record.ttft_ns(From::Sent)), (Some(1000), Some(900)));
        assert_eq!((record.ttfo_ns(From::Scheduled), record.e2e_ns(From::Scheduled)), (Some(1500), Some(4000)));
        assert_eq!((record.output_tokens, record.counted, record.tpot_ns()), (4, Counted::Chunks, Some(1000.0)));
        let one = Record { output_tokens: 1, ..record };
        assert_eq!(one.tpot_ns(), None);
        let whole = Record { first_token_ns: 0, ..record };
        assert_eq!((whole.ttft_ns(From::Sent), whole.tpot_ns(), whole.e2e_ns(From::Sent)), (None, None, Some(3900)));
    }

    #[test]
    fn a_million_fit_into_memory() {
        assert!(size_of::<Record>() <= 128, "{}", size_of::<Record>());
    }
}
