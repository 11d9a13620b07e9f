//! What is kept of the requests of a run while it goes on.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::record::Record;
use super::reply::Reply;
use super::samples_file::SamplesFile;
use super::varint;
use crate::outcome::Errors;

/// What the stamps of our mock tell: they are in each chunk, of the same clock, taken just before the write. So the client's error is
/// known exactly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Received less written, ns, of every stamped chunk: client, network and the server's own write.
    pub error: Histogram,
    /// The same of the first chunk of each request: the error of TTFT.
    pub first_error: Histogram,
    /// From each chunk to the next as the server wrote them, ns.
    pub gaps: Histogram,
}

impl Truth {
    fn add(&mut self, reply: &Reply) {
        let mut written = 0_u64;
        let mut received = reply.first_token_ns;
        let mut gaps = varint::iter(&reply.gaps);
        for (index, more) in varint::iter(&reply.written).enumerate() {
            written += more;
            if index > 0 {
                received += gaps.next().unwrap_or(0);
                self.gaps.add(more);
            }
            let error = received.saturating_sub(written);
            self.error.add(error);
            if index == 0 {
                self.first_error.add(error);
            }
        }
    }
}

/// Records, histograms and the samples_file of a run.
#[derive(Debug)]
pub(super) struct Tally {
    pub records: Vec<Record>,
    /// From each chunk with content to the next, of the requests that succeeded, ns.
    pub gaps: Histogram,
    pub truth: Truth,
    pub errors: Errors,
    /// Events that are neither JSON nor `[DONE]`.
    pub malformed: u64,
    pub samples_file: Option<SamplesFile>,
}

impl Tally {
    pub fn new(expected: usize, samples_file: Option<SamplesFile>) -> Self {
        Self {
            records: Vec::with_capacity(expected),
            gaps: Histogram::new(),
            truth: Truth::default(),
            errors: Errors::default(),
            malformed: 0,
            samples_file,
        }
    }

    /// Takes over what came of a request.
    pub fn take(&mut self, id: usize, reply: &Reply, is_ok: bool) {
        self.records[id].take(reply);
        self.malformed += u64::from(reply.malformed);
        if is_ok {
            varint::iter(&reply.gaps).for_each(|gap| self.gaps.add(gap));
        }
        // A stream of which only some chunks are stamped cannot be aligned.
        if reply.written_count > 0 && reply.written_count == reply.chunks {
            self.truth.add(reply);
        }
        if let Some(samples_file) = &mut self.samples_file
            && reply.chunks > 0
        {
            samples_file.add(id as u64, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_gaps_by_hand() {
        let mut reply = Reply { first_token_ns: 1000, chunks: 3, written_count: 3, ..Reply::default() };
        [100, 50].iter().for_each(|&gap| varint::put(&mut reply.gaps, gap));
        [990, 80, 60].iter().for_each(|&more| varint::put(&mut reply.written, more));
        let mut tally = Tally::new(1, None);
        tally.records.push(Record::due(0, 0, 1, 1));
        tally.take(0, &reply, true);
        // Written at 990, 1070, 1130; received at 1000, 1100, 1150.
        assert_eq!((tally.truth.error.quantile(1.0), tally.truth.error.mean()), (Some(30), Some(20.0)));
        assert_eq!(tally.truth.first_error.quantile(0.5), Some(10));
        assert_eq!((tally.truth.gaps.mean(), tally.gaps.mean()), (Some(70.0), Some(75.0)));
        tally.take(0, &Reply { written_count: 2, ..reply }, false);
        assert_eq!((tally.truth.error.count(), tally.gaps.count()), (3, 2));
    }
}
